// Package netguard refuses connections of downloads to the networks behind a worker:
// loopback, private and link-local addresses, cloud metadata and similar ones.
//
// It checks the address of each socket just before the socket connects. So the check
// also covers redirects, unusual spellings of an address and names that resolve to
// another address the second time. [Guard] dials for code of this process. [Proxy]
// dials for aria2c, which checks no address.
//
// It does not check the peers, UDP trackers and DHT nodes of BitTorrent, nor a NAT64
// gateway with a prefix of its network.
package netguard
