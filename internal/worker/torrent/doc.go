// Package torrent reads from a torrent or magnet link what must be known before
// aria2 has it: the versions of BitTorrent that it is for, and its files. It is pure.
package torrent
