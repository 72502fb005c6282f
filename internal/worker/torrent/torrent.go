package torrent

import (
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Info is what a torrent or magnet link says of itself.
type Info struct {
	V1, V2 bool  // the versions of BitTorrent that it is for; both in a hybrid torrent (BEP 52)
	Files  int   // without those that only pad; 0 of a magnet link
	Length int64 // bytes, of a torrent of version 1 without a folder; 0 otherwise
	// Hash is the info-hash of version 1 in lower-case hex. A torrent for version 2
	// only has one too: two torrents with the same hash are the same. It is "" of a
	// magnet link without a hash that can be read.
	Hash string
	// Select is what a magnet link wants of the files, as aria2's option select-file
	// says it; "" for all of them.
	Select string
	// WebSeeds says that the torrent names servers that have its files (BEP 19).
	WebSeeds bool

	About
}

// About is what people want to know of a torrent or magnet link.
type About struct {
	Name        string     // of the file or folder
	Folder      bool       // the files of version 1 lie in a folder of that name
	Total       int64      // bytes of all files of version 1; 0 of a magnet link
	PieceLength int64      // bytes
	Comment     string     // "" without one
	Created     int64      // seconds since 1970; 0 if it is not said
	Trackers    [][]string // by tier
}

// What Parse finds wrong.
var (
	ErrSyntax = errors.New("the torrent is not bencoded")
	ErrRoot   = errors.New("the torrent is no dictionary")
	ErrInfo   = errors.New("the torrent has no dictionary info")
	ErrPieces = errors.New("the torrent has no pieces")
)

// Parse reads a torrent. It reads no more of it than it needs, and checks no hash.
func Parse(data []byte) (Info, error) {
	var found Info
	hasInfo := false
	announce := ""
	r := reader{data: data}
	ok := r.dict(func(key string) (ok bool) {
		switch {
		case key == "info" && !hasInfo:
			hasInfo = true
			value := r.data
			if !r.info(&found) {
				return false
			}
			sum := sha1.Sum(value[:len(value)-len(r.data)])
			found.Hash = hex.EncodeToString(sum[:])
			return true
		case key == "announce":
			announce, ok = r.text()
		case key == "announce-list":
			ok = r.trackers(&found.Trackers)
		case key == "url-list":
			found.WebSeeds, ok = r.webSeeds()
		case key == "comment" && found.Comment == "", key == "comment.utf-8":
			found.Comment, ok = r.text()
		case key == "creation date":
			found.Created, ok = r.integer()
		default:
			ok = r.skip()
		}
		return ok
	})
	if announce != "" && len(found.Trackers) == 0 {
		found.Trackers = [][]string{{announce}}
	}
	switch {
	case !ok && len(data) > 0 && data[0] != 'd' && (&reader{data: data}).skip():
		return Info{}, ErrRoot
	case !ok:
		return Info{}, ErrSyntax
	case !hasInfo:
		return Info{}, ErrInfo
	case !found.V1 && !found.V2:
		return Info{}, ErrPieces
	}
	return found, nil
}

// trackers reads a list of tiers, each a list of URLs. Values of other types are left out.
func (r *reader) trackers(to *[][]string) bool {
	if len(r.data) == 0 || r.data[0] != 'l' {
		return r.skip()
	}
	return r.list(func() bool {
		if len(r.data) == 0 || r.data[0] != 'l' {
			return r.skip()
		}
		var tier []string
		ok := r.list(func() bool {
			url, ok := r.text()
			if url != "" {
				tier = append(tier, url)
			}
			return ok
		})
		if len(tier) > 0 {
			*to = append(*to, tier)
		}
		return ok
	})
}

// webSeeds reads a "url-list", which is one URL or a list: whether it has any.
func (r *reader) webSeeds() (has, ok bool) {
	one := func() bool {
		url, ok := r.text()
		has = has || url != ""
		return ok
	}
	if len(r.data) > 0 && r.data[0] == 'l' {
		ok = r.list(one)
	} else {
		ok = one()
	}
	return has, ok
}

// info reads the dictionary of that name.
func (r *reader) info(to *Info) bool {
	v1Files, v2Files := 1, 0
	ok := r.dict(func(key string) bool {
		switch key {
		case "pieces":
			to.V1 = true
			return r.skip()
		case "length":
			n, ok := r.integer()
			to.Length, to.Total = n, to.Total+max(n, 0)
			return ok
		case "name", "name.utf-8":
			name, ok := r.text()
			if to.Name == "" || key == "name.utf-8" {
				to.Name = name
			}
			return ok
		case "piece length":
			n, ok := r.integer()
			to.PieceLength = n
			return ok
		case "meta version":
			n, ok := r.integer()
			to.V2 = to.V2 || n == 2
			return ok
		case "file tree":
			to.V2 = true
			return r.tree(&v2Files, maxDepth)
		case "files":
			v1Files, to.Folder = 0, true
			return r.list(func() bool { return r.file(&v1Files, &to.Total) })
		}
		return r.skip()
	})
	if to.Files = v1Files; !to.V1 {
		to.Files = v2Files
	}
	return ok
}

// file reads an entry of the list "files", and counts it and its bytes unless it pads.
func (r *reader) file(count *int, bytes *int64) bool {
	pads, length := false, int64(0)
	ok := r.dict(func(key string) (ok bool) {
		switch key {
		case "attr":
			pads, ok = r.pads()
			return ok
		case "length":
			length, ok = r.integer()
			return ok
		}
		return r.skip()
	})
	if !pads {
		*count++
		if length > 0 && *bytes <= math.MaxInt64-length {
			*bytes += length
		}
	}
	return ok
}

// pads reads the attributes of a file (BEP 47): whether it only pads.
func (r *reader) pads() (pads, ok bool) {
	attr, ok := r.text()
	return strings.Contains(attr, "p"), ok
}

// tree counts the files of a "file tree": an empty name is the end of a path.
func (r *reader) tree(count *int, depth int) bool {
	if depth == 0 {
		return false
	}
	return r.dict(func(key string) bool {
		if key != "" {
			return r.tree(count, depth-1)
		}
		*count++
		return r.skip()
	})
}

// ParseMagnet returns the versions of BitTorrent that a magnet link has a hash for, the
// first hash of version 1, its name, its trackers and its selection of files.
func ParseMagnet(link string) Info {
	var found Info
	u, err := url.Parse(link)
	if err != nil {
		return found
	}
	query := u.Query()
	found.Name = query.Get("dn")
	found.Select = model.MagnetSelection(query.Get("so"))
	for _, tracker := range query["tr"] {
		found.Trackers = append(found.Trackers, []string{tracker})
	}
	for name, values := range query {
		if base, _, _ := strings.Cut(name, "."); base != "xt" { // "xt.1" is one of several
			continue
		}
		for _, value := range values {
			value = strings.ToLower(value)
			if hash, ok := strings.CutPrefix(value, "urn:btih:"); ok {
				found.V1 = true
				found.Hash = cmp.Or(found.Hash, model.InfoHash(hash))
			}
			found.V2 = found.V2 || strings.HasPrefix(value, "urn:btmh:")
		}
	}
	return found
}

// maxDepth bounds how deep values are nested.
const maxDepth = 100

// reader reads bencoded values, one after the other. Each method reports whether there
// was such a value.
type reader struct{ data []byte }

func (r *reader) next(c byte) bool {
	if len(r.data) == 0 || r.data[0] != c {
		return false
	}
	r.data = r.data[1:]
	return true
}

// digits reads a number up to its end, which is c.
func (r *reader) digits(c byte) (int64, bool) {
	const longest = 20
	for i := 0; i < len(r.data) && i <= longest; i++ {
		if r.data[i] == c {
			n, err := strconv.ParseInt(string(r.data[:i]), 10, 64)
			r.data = r.data[i+1:]
			return n, err == nil
		}
	}
	return 0, false
}

func (r *reader) integer() (int64, bool) {
	if !r.next('i') {
		return 0, r.skip() // another type than expected
	}
	return r.digits('e')
}

func (r *reader) text() (string, bool) {
	if len(r.data) == 0 || r.data[0] < '0' || r.data[0] > '9' {
		return "", r.skip() // another type than expected
	}
	n, ok := r.digits(':')
	if !ok || n < 0 || n > int64(len(r.data)) {
		return "", false
	}
	text := string(r.data[:n])
	r.data = r.data[n:]
	return text, true
}

func (r *reader) list(value func() bool) bool {
	if !r.next('l') {
		return false
	}
	for !r.next('e') {
		if !value() {
			return false
		}
	}
	return true
}

func (r *reader) dict(value func(key string) bool) bool {
	if !r.next('d') {
		return false
	}
	for !r.next('e') {
		if len(r.data) == 0 || r.data[0] < '0' || r.data[0] > '9' {
			return false
		}
		key, ok := r.text()
		if !ok || !value(key) {
			return false
		}
	}
	return true
}

// skip passes over one value of any type.
func (r *reader) skip() bool {
	for depth := 0; ; {
		if len(r.data) == 0 {
			return false
		}
		switch c := r.data[0]; {
		case c == 'd' || c == 'l':
			r.data = r.data[1:]
			depth++
		case c == 'e':
			r.data = r.data[1:]
			depth--
		case c == 'i':
			r.data = r.data[1:]
			if _, ok := r.digits('e'); !ok {
				return false
			}
		case c >= '0' && c <= '9':
			if _, ok := r.text(); !ok {
				return false
			}
		default:
			return false
		}
		switch {
		case depth < 0 || depth > maxDepth:
			return false
		case depth == 0:
			return true
		}
	}
}
