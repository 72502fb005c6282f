package aria2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// control is a control file of aria2, version 1: which pieces of a file are here
// (aria2's technical notes, "control file format"). All numbers are big-endian.
type control struct {
	extension   uint32
	infoHash    []byte
	pieceLength uint32
	total       uint64
	uploaded    uint64
	pieces      bits
	inFlight    []flight // pieces with some blocks
}

// flight is one piece with some blocks.
type flight struct {
	index, length uint32
	blocks        bits
}

// blockLength is what aria2 cuts pieces into.
const blockLength = 16 << 10

// bits is a bit field, the first bit the highest of the first byte.
type bits []byte

func newBits(n int64) bits { return make(bits, (n+7)/8) }

func (b bits) has(i int64) bool { return b[i/8]&(0x80>>(i%8)) != 0 }

func (b bits) set(i int64) { b[i/8] |= 0x80 >> (i % 8) }

// prefix is how many of the first n bits are set without a gap.
func (b bits) prefix(n int64) (k int64) {
	for k < n && b.has(k) {
		k++
	}
	return k
}

var errControl = errors.New("not a control file of aria2 that is understood")

// parseControl reads a control file. Everything is bounded by the data's own
// length.
func parseControl(data []byte) (*control, error) {
	c := &control{}
	short := false
	field := func(n uint64) []byte {
		if n > uint64(len(data)) {
			short, data = true, nil
			return nil
		}
		f := data[:n]
		data = data[n:]
		return f
	}
	number := func() uint32 {
		if f := field(4); f != nil {
			return binary.BigEndian.Uint32(f)
		}
		return 0
	}
	long := func() uint64 {
		if f := field(8); f != nil {
			return binary.BigEndian.Uint64(f)
		}
		return 0
	}
	if v := field(2); len(v) != 2 || v[0] != 0 || v[1] != 1 {
		return nil, errControl
	}
	c.extension = number()
	c.infoHash = field(uint64(number()))
	c.pieceLength, c.total, c.uploaded = number(), long(), long()
	c.pieces = field(uint64(number()))
	if c.pieceLength == 0 || c.pieceLength%blockLength != 0 || c.total == 0 || c.total > 1<<50 ||
		int64(len(c.pieces)) != (c.count()+7)/8 {
		return nil, errControl
	}
	for n := number(); n > 0 && !short; n-- {
		f := flight{index: number(), length: number()}
		f.blocks = field(uint64(number()))
		if int64(f.index) >= c.count() || int64(f.length) != c.lengthOf(int64(f.index)) ||
			int64(len(f.blocks)) != (blocksOf(int64(f.length))+7)/8 {
			return nil, fmt.Errorf("%w: piece %d", errControl, f.index)
		}
		c.inFlight = append(c.inFlight, f)
	}
	if len(data) > 0 || short {
		return nil, errControl
	}
	return c, nil
}

// count is how many pieces the file has.
func (c *control) count() int64 {
	return (int64(c.total) + int64(c.pieceLength) - 1) / int64(c.pieceLength)
}

// lengthOf is the length of a piece; the last one may be shorter.
func (c *control) lengthOf(piece int64) int64 {
	return min(int64(c.pieceLength), int64(c.total)-piece*int64(c.pieceLength))
}

func blocksOf(length int64) int64 { return (length + blockLength - 1) / blockLength }

// encode writes the control file.
func (c *control) encode() []byte {
	out := []byte{0, 1}
	put := binary.BigEndian.AppendUint32
	out = put(out, c.extension)
	out = append(put(out, uint32(len(c.infoHash))), c.infoHash...)
	out = put(out, c.pieceLength)
	out = binary.BigEndian.AppendUint64(out, c.total)
	out = binary.BigEndian.AppendUint64(out, c.uploaded)
	out = append(put(out, uint32(len(c.pieces))), c.pieces...)
	out = put(out, uint32(len(c.inFlight)))
	for _, f := range c.inFlight {
		out = put(put(out, f.index), f.length)
		out = append(put(out, uint32(len(f.blocks))), f.blocks...)
	}
	return out
}

// add marks the written blocks that the control file does not have yet. written returns
// how much of a range of the file was written, from its start on.
//
// aria2c fills a piece from its start to its end and assumes this when it continues. So
// add does not mark blocks behind a gap in a piece: the bytes that aria2c fetches next
// would be written to the wrong place.
func (c *control) add(written func(offset, length int64) int64) (gained int64) {
	known := map[int64]bits{}
	for _, f := range c.inFlight {
		known[int64(f.index)] = f.blocks
	}
	c.inFlight = nil
	for piece := range c.count() {
		if c.pieces.has(piece) {
			continue
		}
		length := c.lengthOf(piece)
		blocks, n := known[piece], blocksOf(length)
		if blocks == nil {
			blocks = newBits(n)
		}
		had := blocks.prefix(n)
		here := written(piece*int64(c.pieceLength)+had*blockLength, length-had*blockLength) + had*blockLength
		for i := had; i < n && min((i+1)*blockLength, length) <= here; i++ {
			blocks.set(i)
			gained += min(blockLength, length-i*blockLength)
		}
		switch have := blocks.prefix(n); {
		case have == n:
			c.pieces.set(piece)
		case have > 0 || slices.ContainsFunc(blocks, func(b byte) bool { return b != 0 }):
			c.inFlight = append(c.inFlight, flight{uint32(piece), uint32(length), blocks})
		}
	}
	return gained
}
