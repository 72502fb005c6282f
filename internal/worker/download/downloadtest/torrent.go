package downloadtest

import (
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const pieceLength = 64 << 10

// bencode writes what a torrent is made of: strings, integers, lists and maps.
func bencode(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%d:%s", len(v), v)
	case int:
		return fmt.Sprintf("i%de", v)
	case []any:
		var b strings.Builder
		for _, item := range v {
			b.WriteString(bencode(item))
		}
		return "l" + b.String() + "e"
	case map[string]any:
		var b strings.Builder
		for _, key := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(bencode(key) + bencode(v[key]))
		}
		return "d" + b.String() + "e"
	}
	panic(fmt.Sprintf("bencode: %T", v))
}

// Torrent makes a torrent of files in a folder called name.
func Torrent(name, tracker string, files map[string][]byte) []byte {
	return []byte(bencode(map[string]any{"announce": tracker, "info": folder(name, files, false)}))
}

// PaddedTorrent is [Torrent] without a tracker, from a server that has the folder at a URL
// (BEP 19). After each file but the last, zeros pad its last piece (BEP 47).
func PaddedTorrent(name, url string, files map[string][]byte) []byte {
	return []byte(bencode(map[string]any{"url-list": []any{url}, "info": folder(name, files, true)}))
}

// folder makes the info of a torrent.
func folder(name string, files map[string][]byte, pads bool) map[string]any {
	var list []any
	var all, pieces []byte
	add := func(data []byte, attributes string, parts ...any) {
		file := map[string]any{"length": len(data), "path": parts}
		if attributes != "" {
			file["attr"] = attributes
		}
		list, all = append(list, file), append(all, data...)
	}
	for i, path := range slices.Sorted(maps.Keys(files)) {
		if rest := len(all) % pieceLength; pads && i > 0 && rest > 0 {
			add(make([]byte, pieceLength-rest), "p", ".pad", strconv.Itoa(pieceLength-rest))
		}
		var parts []any
		for part := range strings.SplitSeq(path, "/") {
			parts = append(parts, part)
		}
		add(files[path], "", parts...)
	}
	for piece := range slices.Chunk(all, pieceLength) {
		sum := sha1.Sum(piece)
		pieces = append(pieces, sum[:]...)
	}
	return map[string]any{"files": list, "name": name, "piece length": pieceLength, "pieces": string(pieces)}
}

// SingleTorrent makes a torrent of one file, without a folder.
func SingleTorrent(name, tracker string, data []byte) []byte {
	var pieces []byte
	for piece := range slices.Chunk(data, pieceLength) {
		sum := sha1.Sum(piece)
		pieces = append(pieces, sum[:]...)
	}
	return []byte(bencode(map[string]any{"announce": tracker, "info": map[string]any{
		"length": len(data), "name": name, "piece length": pieceLength, "pieces": string(pieces),
	}}))
}

// HybridTorrent makes a torrent of versions 1 and 2 of one file, without a byte more
// than BEP 52 wants; with v1 false it is of version 2 only.
func HybridTorrent(name, tracker string, length int, v1 bool) []byte {
	info := map[string]any{
		"file tree":    map[string]any{name: map[string]any{"": map[string]any{"length": length, "pieces root": strings.Repeat("r", 32)}}},
		"meta version": 2, "name": name, "piece length": pieceLength,
	}
	if v1 {
		info["length"], info["pieces"] = length, strings.Repeat("p", 20*((length+pieceLength-1)/pieceLength))
	}
	return []byte(bencode(map[string]any{"announce": tracker, "info": info, "piece layers": map[string]any{}}))
}

// InfoHash is what a magnet link names a torrent of [Torrent] by, in hex.
func InfoHash(torrent []byte) string {
	_, info, _ := strings.Cut(string(torrent), "4:info")
	sum := sha1.Sum([]byte(strings.TrimSuffix(info, "e")))
	return hex.EncodeToString(sum[:])
}

// ServeTracker tells every peer of the one at port of loopback. It returns the
// announce URL.
func ServeTracker(t *testing.T, port int) string {
	t.Helper()
	peer := binary.BigEndian.AppendUint16([]byte{127, 0, 0, 1}, uint16(port))
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(bencode(map[string]any{"interval": 1, "peers": string(peer)}))) // a peer that is gone asks again
	}))
	return s.URL + "/announce"
}
