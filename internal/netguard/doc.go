// Package netguard keeps downloads away from the networks behind a worker: loopback,
// private and link-local addresses, those of cloud metadata and the like.
//
// The check is made on the socket, on the address that is about to be connected
// to, so that neither a redirect, nor a strange spelling of an address, nor a name
// that resolves to something else the second time gets past it. [Guard] dials for
// code of this process; [Proxy] does for aria2c, which checks nothing itself.
//
// What it cannot see it cannot guard: the peers, UDP trackers and DHT nodes of
// BitTorrent, and a NAT64 gateway with a prefix of the network's own.
package netguard
