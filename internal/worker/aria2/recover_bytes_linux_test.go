package aria2

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// Only bytes that were written are recovered.
func TestRecoverBytes_CountsWrittenBytesOnly(t *testing.T) {
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
			gained, err := recoverBytes(dir)
			if err != nil || gained != test.want {
				t.Errorf("%d bytes, want %d, %v", gained, test.want, err)
			}
			if again, err := recoverBytes(dir); err != nil || again != 0 {
				t.Errorf("a second time: %d bytes, %v", again, err)
			}
		})
	}
}
