package aria2rpc

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// pieceLength is that of aria2 for HTTP.
const pieceLength = 1 << 20

func figure(n int64) string { return strconv.FormatInt(n, 10) }

// status is the answer of tellStatus, with its names in order, or those of them that are
// asked for.
func (s *Server) status(d *shown, keys []string) object {
	row, piece := d.row, pieceOf(d)
	connections := "0"
	if d.phase == phaseActive {
		connections = "1"
	}
	o := make(object, 0, 24)
	isWanted := len(keys) == 0 || slices.Contains(keys, "bitfield") // it costs more than the rest
	if isWanted && row.TotalLength > 0 && (d.phase == phaseActive || d.phase.ended()) {
		o = append(o, member{"bitfield", bitfield(row.CompletedLength, row.TotalLength, piece)})
	}
	if d.torrent != nil {
		o = append(o, member{"bittorrent", aboutTorrent(d)})
	}
	o = append(o,
		member{"completedLength", figure(row.CompletedLength)},
		member{"connections", connections},
		member{"dir", s.placeOf(d)},
		member{"downloadSpeed", figure(row.DownloadSpeed)},
	)
	if d.phase.ended() {
		code, message := errorOf(d)
		o = append(o, member{"errorCode", code}, member{"errorMessage", message})
	}
	o = append(o, member{"files", s.files(d)}, member{"gid", d.gid})
	if d.torrent != nil {
		o = append(o, member{"infoHash", d.torrent.Hash})
	}
	o = append(o, member{"numPieces", figure(piecesOf(max(row.TotalLength, lengthOf(d)), piece))})
	if d.torrent != nil {
		o = append(o, member{"numSeeders", "0"})
	}
	o = append(o, member{"pieceLength", figure(piece)})
	if d.torrent != nil {
		o = append(o, member{"seeder", "false"})
	}
	return append(o,
		member{"status", string(d.phase)},
		member{"totalLength", figure(row.TotalLength)},
		member{"uploadLength", "0"},
		member{"uploadSpeed", "0"},
	).only(keys)
}

// errorOf is aria2's exit code and message of what has ended: 31 is "removed".
func errorOf(d *shown) (code, message string) {
	switch {
	case d.phase == phaseRemoved:
		return "31", ""
	case d.phase == phaseError && d.row.Error != nil:
		return strconv.Itoa(d.row.Error.Code), d.row.Error.Message
	case d.phase == phaseError:
		return "1", ""
	}
	return "0", ""
}

// bitfield is the map of pieces as hex digits, the highest bit first. Where the bytes
// are is not known here, so they are shown from the beginning.
func bitfield(completed, total, piece int64) string {
	pieces := piecesOf(total, piece)
	if pieces > maxPieces {
		return ""
	}
	have := completed / piece
	if completed >= total {
		have = pieces
	}
	var b strings.Builder
	b.Grow(int(pieces/4) + 2)
	for at := int64(0); at < pieces; at += 8 {
		var bits byte
		for i := range int64(8) {
			if at+i < have {
				bits |= 0x80 >> i
			}
		}
		b.WriteByte(hexDigits[bits>>4])
		b.WriteByte(hexDigits[bits&15])
	}
	return b.String()
}

func piecesOf(total, piece int64) int64 {
	n := total / piece
	if total%piece > 0 {
		n++
	}
	return n
}

// maxPieces bounds a bitfield: 64 GiB have 16,384 digits.
const maxPieces = 1 << 16

// files lists the files: those of the result, or those that are expected.
func (s *Server) files(d *shown) []object {
	row, dir := d.row, s.dirOf(d)
	uris := urisOf(d)
	if row.Result != nil && len(row.Result.Files) > 0 {
		list := make([]object, 0, len(row.Result.Files))
		for i, f := range row.Result.Files {
			list = append(list, file(i+1, path.Join(dir, f.Path), f.Length, f.Length, true, uris))
		}
		return list
	}
	if d.torrent != nil && len(d.torrent.files) > 0 {
		return torrentFiles(d, dir)
	}
	name := ""
	switch {
	case d.torrent != nil:
		name = torrentPath(d, dir)
	case row.TotalLength > 0 || len(row.Options["out"]) > 0:
		name = path.Join(dir, d.name)
	}
	return []object{file(1, name, max(row.TotalLength, lengthOf(d)), row.CompletedLength, true, uris)}
}

func file(index int, name string, length, completed int64, selected bool, uris []object) object {
	return object{
		{"completedLength", figure(completed)}, {"index", strconv.Itoa(index)}, {"length", figure(length)},
		{"path", name}, {"selected", strconv.FormatBool(selected)}, {"uris", uris},
	}
}

// nameOf guesses the name of a file that is not finished, as aria2 does.
func nameOf(row *model.Task) string {
	if out := row.Options["out"]; len(out) > 0 {
		return out[0]
	}
	u, err := model.ParseURL(row.URL)
	if err != nil || u.Scheme == "magnet" {
		return row.ID
	}
	if name := path.Base(u.Path); name != "/" && name != "." {
		return name
	}
	return "index.html"
}

// urisOf lists the sources: the first is used while the download runs or has run.
func urisOf(d *shown) []object {
	if d.row.URL == "" || d.row.Magnet() {
		return []object{}
	}
	first := "waiting"
	if d.phase == phaseActive || d.phase == phaseComplete || d.phase == phaseError {
		first = "used"
	}
	list := []object{{{"status", first}, {"uri", shownURI(d.row.URL)}}}
	for _, m := range d.row.Mirrors {
		list = append(list, object{{"status", "waiting"}, {"uri", shownURI(m)}})
	}
	return list
}
