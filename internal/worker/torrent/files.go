package torrent

import (
	"path"
	"strconv"
	"strings"
)

// File is one file of a torrent of version 1 with a folder.
type File struct {
	Path   string // below the folder of the torrent; it does not leave that
	Length int64  // bytes
	Pads   bool   // it has only zeros, so that the next file begins with a piece (BEP 47)
}

// Files lists the files of a torrent that has a folder, in the order in which aria2's option
// select-file counts them: those that only pad too. It returns none for another torrent, and
// for one whose paths have more than limit bytes together, with 32 for each file.
func Files(data []byte, limit int) []File {
	const perFile = 32
	var files []File
	hasInfo := false
	r := reader{data: data}
	fits := r.dict(func(key string) bool {
		if key != "info" || hasInfo {
			return r.skip()
		}
		hasInfo = true
		return r.dict(func(key string) bool {
			if key != "files" {
				return r.skip()
			}
			return r.list(func() bool {
				f, ok := r.listedFile()
				limit -= len(f.Path) + perFile
				files = append(files, f)
				return ok && limit >= 0
			})
		})
	})
	if !fits {
		return nil
	}
	return files
}

// listedFile reads an entry of the list "files".
func (r *reader) listedFile() (f File, ok bool) {
	isUTF8 := false
	ok = r.dict(func(key string) (ok bool) {
		switch {
		case key == "length":
			f.Length, ok = r.integer()
			f.Length = max(f.Length, 0)
		case key == "path" && !isUTF8, key == "path.utf-8":
			isUTF8 = key == "path.utf-8"
			f.Path, ok = r.path()
		case key == "attr":
			f.Pads, ok = r.pads()
		default:
			ok = r.skip()
		}
		return ok
	})
	return f, ok
}

// path reads a list of names.
func (r *reader) path() (joined string, ok bool) {
	if len(r.data) == 0 || r.data[0] != 'l' {
		return "", r.skip()
	}
	names := []string{"/"}
	ok = r.list(func() bool {
		name, ok := r.text()
		names = append(names, name)
		return ok
	})
	return path.Join(names...)[1:], ok
}

// Selection reports for each of n files whether aria2's option select-file names it, which
// counts from 1 and has the form "1-3,5". Without the option it names every file.
func Selection(option string, n int) []bool {
	chosen := make([]bool, n)
	for span := range strings.SplitSeq(option, ",") {
		first, last, isRange := strings.Cut(span, "-")
		if !isRange {
			last = first
		}
		low, errLow := strconv.Atoi(strings.TrimSpace(first))
		high, errHigh := strconv.Atoi(strings.TrimSpace(last))
		switch {
		case option == "":
			low, high = 1, n
		case errLow != nil || errHigh != nil:
			continue
		}
		for i := max(low, 1); i <= min(high, n); i++ {
			chosen[i-1] = true
		}
	}
	return chosen
}
