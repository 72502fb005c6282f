package direct

import (
	"sync"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// hashBlocks is how many buffers a connection has that hashes beside writing.
const hashBlocks = 4

// runningHash computes the checksum of a file while its bytes come, in a goroutine. It
// needs them in order, from the first on: a file that comes over several connections, or
// was begun by an earlier job, is read again at its end.
type runningHash struct {
	sum    *download.Checksum
	next   int64         // the position of the next byte
	blocks chan []byte   // to hash
	free   chan []byte   // buffers that are not in use
	idle   chan struct{} // receives when everything has been hashed
	end    sync.Once
}

// newRunningHash returns nil for a checksum of a kind that is not known.
func newRunningHash(checksum string, size int) *runningHash {
	sum := download.NewChecksum(checksum)
	if sum == nil {
		return nil
	}
	h := &runningHash{sum: sum, blocks: make(chan []byte, hashBlocks), free: make(chan []byte, hashBlocks), idle: make(chan struct{})}
	for range hashBlocks {
		h.free <- make([]byte, size)
	}
	go func() {
		defer close(h.idle)
		for block := range h.blocks {
			h.sum.Write(block)
			h.free <- block[:cap(block)]
		}
	}()
	return h
}

// buffer returns a buffer for the next read.
func (h *runningHash) buffer() []byte { return <-h.free }

// add hashes the bytes of a buffer that was read at pos, and returns the next buffer.
func (h *runningHash) add(pos int64, buf []byte, n int) []byte {
	if pos != h.next {
		return buf
	}
	h.next += int64(n)
	h.blocks <- buf[:n]
	return h.buffer()
}

// release takes back a buffer.
func (h *runningHash) release(buf []byte) { h.free <- buf[:cap(buf)] }

// stop waits until everything has been hashed. No bytes may be added afterwards.
func (h *runningHash) stop() {
	h.end.Do(func() { close(h.blocks) })
	<-h.idle
}
