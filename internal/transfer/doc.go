// Package transfer exports the store of a running dispatcher and imports into it. [Sessions]
// are the exports and imports of a dispatcher: one registry holds them, and the table of
// state.go says what each event does to one. [RemoteStore] is their client, which migrate
// uses as a source or a target of a copy.
package transfer
