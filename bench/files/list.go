package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// list is a number of files of one length.
type list struct {
	name   string
	title  string
	count  int
	length int64
}

func allLists() []list {
	return []list{
		{"small", "files of 10 KB", 2_000, 10 << 10},
		{"medium", "files of 5 MB", 200, 5 << 20},
		{"large", "one file of 2 GB", 1, 2 << 30},
	}
}

func listNames() string {
	var all []string
	for _, l := range allLists() {
		all = append(all, l.name)
	}
	return strings.Join(all, ",")
}

// divided returns a fraction of the list: fewer files, or a shorter one.
func (l list) divided(n int) list {
	if l.count == 1 {
		l.length = max(l.length/int64(n), 1)
		if n > 1 {
			l.title = fmt.Sprintf("one file of %d MB", l.length>>20)
		}
		return l
	}
	l.count = max(l.count/n, 1)
	return l
}

func (l list) heading() string {
	if l.count == 1 {
		return l.title
	}
	return fmt.Sprintf("%d %s", l.count, l.title)
}

// bytes is the length of all files.
func (l list) bytes() int64 { return int64(l.count) * l.length }

// isSmall reports whether the number of files is what takes time, not their bytes.
func (l list) isSmall() bool { return l.length < 1<<20 }

// unit is that of the rate in the chart.
func (l list) unit() string {
	if l.isSmall() {
		return "files/s"
	}
	return "MB/s"
}

// file returns the name of a file on the server.
func (l list) file(i int) string { return fmt.Sprintf("%s-%05d", l.name, i) }

// distinctBytes is how long files may be that differ from each other. Longer ones are
// links to one file, so that they fit into memory.
const distinctBytes = 64 << 10

// write writes the files that are served.
func (l list) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	source := rand.NewChaCha8([32]byte([]byte("the same bytes in every run ....")))
	for i := range l.count {
		path := filepath.Join(dir, l.file(i))
		if i > 0 && l.length > distinctBytes {
			if err := os.Link(filepath.Join(dir, l.file(0)), path); err != nil {
				return err
			}
			continue
		}
		if err := writeRandom(path, l.length, source); err != nil {
			return err
		}
	}
	return nil
}

func writeRandom(path string, length int64, source *rand.ChaCha8) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	buf := make([]byte, min(length, 1<<20))
	for err == nil && length > 0 {
		_, _ = source.Read(buf) // it does not fail
		n := min(length, int64(len(buf)))
		_, err = f.Write(buf[:n])
		length -= n
	}
	return errors.Join(err, f.Close())
}

// check returns an error unless every file is once in dir, also in folders below, and
// nothing else is. Names that begin with a point belong to the program that wrote them.
func (l list) check(dir, served string) error {
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != dir && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		case found[d.Name()]:
			return fmt.Errorf("%s is there twice", d.Name())
		}
		found[d.Name()] = true
		return l.checkFile(path, filepath.Join(served, d.Name()))
	})
	if err != nil {
		return err
	}
	for i := range l.count {
		if !found[l.file(i)] {
			return fmt.Errorf("%s is not there; %d of %d files are", l.file(i), len(found), l.count)
		}
	}
	if len(found) > l.count {
		return fmt.Errorf("%d files are there, not %d", len(found), l.count)
	}
	return nil
}

// checkFile compares a fetched file with the served one: its length, and its bytes where
// files differ.
func (l list) checkFile(path, served string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() != l.length {
		return fmt.Errorf("%s has %d bytes, not %d", path, info.Size(), l.length)
	}
	if l.length > distinctBytes {
		return nil
	}
	got, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	want, err := os.ReadFile(served)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s has other bytes than the served file", path)
	}
	return nil
}
