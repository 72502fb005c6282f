package aria2

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/worker/download/downloadtest"
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

func TestAControlFileIsReadAsItIsWritten(t *testing.T) {
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

func TestWhatIsHereIsAddedWithoutGaps(t *testing.T) {
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

func TestOnlyWhatWasWrittenIsRescued(t *testing.T) {
	if download.BootID() == "" {
		t.Skip("NOT TESTED: bytes are rescued on Linux only")
	}
	c := threePieces()
	data := downloadtest.Data(int(c.total))
	data[len(data)-1] = 1
	const had = 1<<20 + 2*blockLength
	for name, test := range map[string]struct {
		change func(file []byte)
		want   int64
	}{
		"all was written":                  {func([]byte) {}, int64(c.total) - had},
		"nothing was written":              {func(b []byte) { clear(b[had:]) }, 0},
		"the last block is written half":   {func(b []byte) { clear(b[had+5*blockLength-8000:]) }, 4 * blockLength},
		"one byte is missing":              {func(b []byte) { clear(b[had+5*blockLength-1:]) }, 4 * blockLength},
		"a block of zeros is in the file":  {func(b []byte) { clear(b[had+blockLength : had+2*blockLength]) }, int64(c.total) - had},
		"one of two connections is behind": {func(b []byte) { clear(b[had+100 : 2<<20]) }, 1 << 19},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := bytes.Clone(data)
			test.change(file)
			for path, content := range map[string][]byte{"f": file, "f.aria2": threePieces().encode(), "other.aria2": []byte("?")} {
				if err := os.WriteFile(filepath.Join(dir, path), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "other"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			gained, err := rescue(dir)
			if err != nil || gained != test.want {
				t.Errorf("%d bytes, want %d, %v", gained, test.want, err)
			}
			if again, err := rescue(dir); err != nil || again != 0 {
				t.Errorf("a second time: %d bytes, %v", again, err)
			}
		})
	}
}
