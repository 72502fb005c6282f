// Package aria is our side of the comparison: a built dispatcher, producers that
// submit by NATS requests, and workers that speak the contract but download
// nothing. All of it is written against docs/protocol.md, with nats.go alone.
package aria
