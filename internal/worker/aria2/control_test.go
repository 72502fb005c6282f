package aria2

import (
	"bytes"
	"testing"
)

// threePieces is the control file of a file of 2.5 pieces: the first is here, of
// the second its first two blocks.
func threePieces() *control {
	const piece = 1 << 20
	c := &control{pieceLength: piece, total: 2*piece + piece/2, pieces: newBits(3)}
	c.pieces.set(0)
	blocks := newBits(blocksOf(piece))
	blocks.set(0)
	blocks.set(1)
	c.inFlight = []flight{{1, piece, blocks}}
	return c
}

// A parsed control file equals the encoded one.
func TestControl_ParseReadsWhatEncodeWrites(t *testing.T) {
	data := threePieces().encode()
	c, err := parseControl(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.encode(); !bytes.Equal(got, data) {
		t.Errorf("% x\nwant % x", got, data)
	}
	for n := range data {
		if _, err := parseControl(data[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are accepted", n, len(data))
		}
	}
	if _, err := parseControl(append(bytes.Clone(data), 0)); err == nil {
		t.Error("a byte too many is accepted")
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(threePieces().encode())
	f.Add([]byte{0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseControl(bytes.Clone(data))
		if err != nil {
			return
		}
		if !bytes.Equal(c.encode(), data) {
			t.Errorf("% x is written as % x", data, c.encode())
		}
		c.add(func(_, length int64) int64 { return length })
		if len(c.inFlight) > 0 {
			t.Errorf("all is here, and %d pieces are not whole", len(c.inFlight))
		}
	})
}

// Written bytes are marked up to the first gap in a piece.
func TestControl_AddMarksBytesWithoutGaps(t *testing.T) {
	const piece = 1 << 20
	c := threePieces()
	gained := c.add(func(offset, length int64) int64 {
		switch offset {
		case piece + 2*blockLength:
			return length
		case 2 * piece:
			return blockLength + 100
		}
		t.Errorf("asked of %d", offset)
		return 0
	})
	if gained != piece-blockLength || !c.pieces.has(0) || !c.pieces.has(1) || c.pieces.has(2) {
		t.Errorf("%d gained: %+v", gained, c)
	}
	if len(c.inFlight) != 1 || c.inFlight[0].index != 2 || c.inFlight[0].length != 1<<19 || c.inFlight[0].blocks[0] != 0x80 {
		t.Errorf("%+v", c.inFlight)
	}
	odd := threePieces()
	odd.inFlight[0].blocks.set(9) // not of aria2c's making
	if odd.add(func(int64, int64) int64 { return blockLength }); !odd.inFlight[0].blocks.has(9) || odd.inFlight[0].blocks.prefix(64) != 3 {
		t.Errorf("%+v", odd.inFlight)
	}
}
