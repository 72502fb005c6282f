package aria2rpc

import (
	"path"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// pieceLength is that of aria2 for HTTP.
const pieceLength = 1 << 20

// costOfStatus is a guess at the bytes of one status in an answer.
const costOfStatus = 1 << 10

func figure(n int64) string { return strconv.FormatInt(n, 10) }

// status is the answer of tellStatus, with its names in order.
func (s *Server) status(d *shown) object {
	row := d.row
	pieces := (row.TotalLength + pieceLength - 1) / pieceLength
	connections := "0"
	if d.phase == phaseActive {
		connections = "1"
	}
	o := make(object, 0, 20)
	if row.TotalLength > 0 && (d.phase == phaseActive || d.phase.ended()) {
		o = append(o, member{"bitfield", bitfield(row.CompletedLength, row.TotalLength)})
	}
	o = append(o,
		member{"completedLength", figure(row.CompletedLength)},
		member{"connections", connections},
		member{"dir", s.dirOf(d)},
		member{"downloadSpeed", figure(row.DownloadSpeed)},
	)
	if d.phase.ended() {
		code, message := errorOf(d)
		o = append(o, member{"errorCode", code}, member{"errorMessage", message})
	}
	o = append(o, member{"files", s.files(d)}, member{"gid", d.gid})
	if hash := infoHash(row.URL); hash != "" {
		o = append(o, member{"infoHash", hash})
	}
	return append(o,
		member{"numPieces", figure(pieces)},
		member{"pieceLength", figure(pieceLength)},
		member{"status", string(d.phase)},
		member{"totalLength", figure(row.TotalLength)},
		member{"uploadLength", "0"},
		member{"uploadSpeed", "0"},
	)
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
func bitfield(completed, total int64) string {
	pieces := (total + pieceLength - 1) / pieceLength
	if pieces > maxPieces {
		return ""
	}
	have := completed / pieceLength
	if completed >= total {
		have = pieces
	}
	var b strings.Builder
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

// maxPieces bounds a bitfield: 64 GiB have 16,384 digits.
const maxPieces = 1 << 16

// files lists the files: those of the result, or the one that is expected.
func (s *Server) files(d *shown) []object {
	row, dir := d.row, s.dirOf(d)
	uris := urisOf(d)
	if row.Result != nil && len(row.Result.Files) > 0 {
		list := make([]object, 0, len(row.Result.Files))
		for i, f := range row.Result.Files {
			list = append(list, file(i+1, path.Join(dir, f.Path), f.Length, f.Length, uris))
		}
		return list
	}
	name := ""
	if row.TotalLength > 0 || len(row.Options["out"]) > 0 {
		name = path.Join(dir, nameOf(row))
	}
	return []object{file(1, name, row.TotalLength, row.CompletedLength, uris)}
}

func file(index int, name string, length, completed int64, uris []object) object {
	return object{
		{"completedLength", figure(completed)}, {"index", strconv.Itoa(index)}, {"length", figure(length)},
		{"path", name}, {"selected", "true"}, {"uris", uris},
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
	if d.row.URL == "" || strings.HasPrefix(d.row.URL, "magnet:") {
		return []object{}
	}
	first := "waiting"
	if d.phase == phaseActive || d.phase == phaseComplete || d.phase == phaseError {
		first = "used"
	}
	list := []object{{{"status", first}, {"uri", d.row.URL}}}
	for _, m := range d.row.Mirrors {
		list = append(list, object{{"status", "waiting"}, {"uri", m}})
	}
	return list
}

// infoHash is that of a magnet link, in hex digits.
func infoHash(raw string) string {
	if !strings.HasPrefix(raw, "magnet:") {
		return ""
	}
	u, err := model.ParseURL(raw)
	if err != nil {
		return ""
	}
	for _, topic := range u.Query()["xt"] {
		if hash, ok := strings.CutPrefix(topic, "urn:btih:"); ok && len(hash) == 40 {
			return strings.ToLower(hash)
		}
	}
	return ""
}
