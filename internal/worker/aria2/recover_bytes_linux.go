package aria2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxControl = 16 << 20 // bytes of a control file
	maxScanned = 1 << 30  // bytes of a file that are looked at
)

// recoverBytes adds to the control files of a job the bytes that an aria2c wrote after
// its last update of them and before it was killed. It is only for files of this boot of
// the machine: the writes of a killed process are complete and in order, but not after a
// power failure. It returns the number of recovered bytes.
func recoverBytes(dir string) (gained int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("recover bytes: %w", err)
	}
	for _, entry := range entries {
		name, isControl := strings.CutSuffix(entry.Name(), ".aria2")
		if !isControl || !entry.Type().IsRegular() {
			continue
		}
		n, err := recoverFileBytes(filepath.Join(dir, name))
		if err != nil {
			return gained, fmt.Errorf("recover bytes: %w", err)
		}
		gained += n
	}
	return gained, nil
}

// recoverFileBytes does this for one file. It leaves an unknown control file to aria2c.
func recoverFileBytes(path string) (int64, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := os.Stat(path + ".aria2")
	if err != nil || info.Size() > maxControl {
		return 0, err
	}
	data, err := os.ReadFile(path + ".aria2")
	if err != nil {
		return 0, err
	}
	c, err := parseControl(data)
	if err != nil {
		return 0, nil //nolint:nilerr // aria2c will say what is wrong with it
	}
	s := scanner{file: file, hole: -1}
	gained := c.add(s.written)
	if s.err != nil || gained == 0 {
		return 0, s.err
	}
	if err := file.Sync(); err != nil { // as aria2c does before each control file
		return 0, err
	}
	if err := os.WriteFile(path+".aria2.new", c.encode(), 0o600); err != nil {
		return 0, err
	}
	return gained, os.Rename(path+".aria2.new", path+".aria2")
}

// scanner tells how much of a stretch of a file was written. It is asked in order
// of the offsets.
//
// Space that is only reserved reads as zeros. A stretch is written in order, so all
// that is before its last byte that is not zero was written. Real zeros at its end
// do not count: they are fetched again, at no other cost.
type scanner struct {
	file   *os.File
	data   int64 // where the next bytes begin that are no hole
	hole   int64 // and where they end; -1: not looked for yet
	looked int64
	buf    [64 << 10]byte
	err    error
}

// written returns how much of the stretch was written, from its start on.
func (s *scanner) written(offset, length int64) (here int64) {
	for at := int64(0); at < length && s.err == nil && s.looked < maxScanned && s.holds(offset+at); {
		n, err := s.file.ReadAt(s.buf[:min(int64(len(s.buf)), length-at)], offset+at)
		if err != nil && !errors.Is(err, io.EOF) {
			s.err = err
			return 0
		}
		if last := len(bytes.TrimRight(s.buf[:n], "\x00")); last > 0 {
			here = at + int64(last)
		}
		at += int64(n)
		s.looked += int64(n)
		if n == 0 {
			break
		}
	}
	return here
}

// holds reports whether the file has something at offset, as far as the file
// system tells.
func (s *scanner) holds(offset int64) bool {
	for offset >= s.hole {
		from := max(s.hole, offset, 0)
		data, err := s.file.Seek(from, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			s.data, s.hole = 1<<62, 1<<62 // nothing more
			break
		}
		if err == nil {
			s.data = data
			s.hole, err = s.file.Seek(data, unix.SEEK_HOLE)
		}
		if err != nil {
			s.data, s.hole = 0, 1<<62 // it cannot tell: all is looked at
			break
		}
	}
	return offset >= s.data
}
