// Package transfer exports the store of a running dispatcher and imports into it. [Sessions]
// are the exports and imports of a dispatcher; [RemoteStore] is their client, which migrate
// uses as a source or a target of a copy.
package transfer
