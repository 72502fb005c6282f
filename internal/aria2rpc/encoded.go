package aria2rpc

import (
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// encoded is a value that is JSON already.
type encoded []byte

// maxEncoded bounds the status that is kept of one download, and the names that it was asked
// for with, in bytes.
const maxEncoded = 4 << 10

// encodedStatus is the status of a running download as JSON, with what it was made of.
// Programs ask for it every second, and it changes with a heartbeat of its worker. It does
// not change.
type encodedStatus struct {
	row     *model.Task
	torrent *described
	name    string
	dir     string
	keys    []string
	text    encoded
}

// statusJSON is the status of a download for an answer of JSON. While nothing has changed
// it is not made again.
func (s *Server) statusJSON(d *shown, keys []string) any {
	if d.phase != phaseActive {
		return s.status(d, keys)
	}
	dir := s.dirOf(d)
	if last := d.encoded.Load(); last != nil && last.row == d.row && last.torrent == d.torrent &&
		last.name == d.name && last.dir == dir && slices.Equal(last.keys, keys) {
		return last.text
	}
	text := encoded(appendObject(nil, s.status(d, keys)))
	if len(text)+sizeOf(keys) <= maxEncoded {
		d.encoded.Store(&encodedStatus{row: d.row, torrent: d.torrent, name: d.name, dir: dir, keys: keys, text: slices.Clip(text)})
	}
	return text
}
