package aria2rpc

import (
	"cmp"
	"path"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Limits of what is kept of a torrent, in bytes and trackers.
const (
	maxTorrentText = 1024
	maxTrackers    = 32
	maxFiles       = 16 << 10 // bytes of the list of its files
	maxAllFiles    = 16 << 20 // of all downloads of a client
)

// described is what is kept of a torrent or magnet link.
type described struct {
	torrent.Info
	files []torrent.File // of one with a folder, if the list is short enough
}

// size is about the bytes of the list of files.
func (t *described) size() (n int) {
	if t != nil {
		for _, f := range t.files {
			n += len(f.Path) + 24
		}
	}
	return n
}

// setTorrent notes what is known of the torrent of a download. The files are left out if
// the client has too many already.
func (v *view) setTorrent(e *entry, t *described) {
	v.files -= e.torrent.size()
	if size := t.size(); v.files+size <= maxAllFiles {
		v.files += size
	} else {
		t = &described{Info: t.Info}
	}
	e.torrent = t
}

// metadataPiece is the length of the pieces of a magnet link's metadata.
const metadataPiece = 16 << 10

// describe keeps what is shown of a torrent or magnet link. data are the bytes of a torrent.
func describe(info torrent.Info, data []byte) *described {
	info.Name, info.Comment = clip(info.Name), clip(info.Comment)
	left := maxTrackers
	tiers := [][]string{}
	for _, tier := range info.Trackers {
		kept := []string{}
		for _, tracker := range tier[:min(len(tier), left)] {
			kept = append(kept, clip(tracker))
		}
		if left -= len(kept); len(kept) > 0 {
			tiers = append(tiers, kept)
		}
	}
	info.Trackers = tiers
	return &described{Info: info, files: torrent.Files(data, maxFiles)}
}

// clip cuts a text; what is not UTF-8 is left out.
func clip(s string) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), maxTorrentText)]), "")
}

// aboutTorrent is the struct bittorrent of a status. aria2 knows the info of a magnet link
// once it has the metadata; here its worker keeps that.
func aboutTorrent(d *shown) object {
	t := d.torrent
	tiers := make([]any, len(t.Trackers))
	for i, tier := range t.Trackers {
		tiers[i] = tier
	}
	o := object{{"announceList", tiers}}
	if t.Comment != "" {
		o = append(o, member{"comment", t.Comment})
	}
	if t.Created > 0 {
		o = append(o, member{"creationDate", t.Created})
	}
	if d.row.Magnet() {
		return o
	}
	mode := "single"
	if t.Folder {
		mode = "multi"
	}
	return append(o, member{"info", object{{"name", nameOfTorrent(t)}}}, member{"mode", mode})
}

// nameOfTorrent is the name that aria2 gives one without.
func nameOfTorrent(t *described) string { return cmp.Or(t.Name, t.Hash+".file") }

// torrentPath is the path of the first file as far as it is known before the end.
func torrentPath(d *shown, dir string) string {
	if d.row.Magnet() {
		return "[METADATA]" + cmp.Or(d.torrent.Name, d.torrent.Hash)
	}
	return path.Join(dir, path.Base(nameOfTorrent(d.torrent)))
}

// torrentFiles lists the files of a torrent with a folder. Which of them have the bytes that
// are there is not known here, so these are shown from the first selected file on.
func torrentFiles(d *shown, dir string) []object {
	dir, left := torrentPath(d, dir), d.row.CompletedLength
	selection := torrent.Selection(strings.Join(d.row.Options["select-file"], ","), len(d.torrent.files))
	list := make([]object, len(d.torrent.files))
	for i, f := range d.torrent.files {
		have := int64(0)
		if selection[i] {
			have = min(f.Length, left)
			left -= have
		}
		list[i] = file(i+1, path.Join(dir, f.Path), f.Length, have, selection[i], []object{})
	}
	return list
}

// lengthOf is the length of a torrent's files, known before the download begins.
func lengthOf(d *shown) int64 {
	if d.torrent == nil {
		return 0
	}
	return d.torrent.Total
}

// pieceOf is the length of a download's pieces.
func pieceOf(d *shown) int64 {
	switch {
	case d.torrent != nil && d.torrent.PieceLength > 0:
		return d.torrent.PieceLength
	case d.torrent != nil && d.row.TotalLength == 0:
		return metadataPiece
	}
	return pieceLength
}

// knowsTorrent reports whether the torrent of a task was read already.
func (v *view) knowsTorrent(id string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.byID[id]
	return e != nil && e.torrent != nil
}

// learn notes what a spec that was submitted says of its torrent.
func (v *view) learn(spec *model.TaskSpec) {
	var info torrent.Info
	switch {
	case len(spec.Torrent) > 0:
		info, _ = torrent.Parse(spec.Torrent) // it was checked
	case spec.Magnet():
		info = torrent.ParseMagnet(spec.URL)
	default:
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.byID[spec.ID]; e != nil {
		v.setTorrent(e, describe(info, spec.Torrent))
	}
}
