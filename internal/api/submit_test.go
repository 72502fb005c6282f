package api

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Bytes that are no torrent are refused with the field, before the backend: the service
// has none here. In a list the error is that of its task.
func TestSubmit_BytesThatAreNoTorrentRefused(t *testing.T) {
	s := New(nil, Options{})
	for text, want := range map[string]string{
		"\x00\x9f\x21random":           "torrent: the torrent is not bencoded",
		"5:bytes":                      "torrent: the torrent is no dictionary",
		"d8:announce3:urle":            "torrent: the torrent has no dictionary info",
		"d4:infod4:name1:fee":          "torrent: the torrent has no pieces",
		"d4:infod6:pieces20:cut off":   "torrent: the torrent is not bencoded",
		"<html>an error page</html>\n": "torrent: the torrent is not bencoded",
	} {
		body := fmt.Sprintf(`{"id":"t1","torrent":%q}`, base64.StdEncoding.EncodeToString([]byte(text)))
		for _, data := range []string{body, `{"tasks":[` + body + `]}`} {
			if !s.enter() {
				t.Fatal("the service stops already")
			}
			via := make(answers, 1)
			c := &call{service: s, from: wire.Sender{Name: "alice", Verb: "submit"}, data: []byte(data), via: via}
			c.submit()
			r := testbed.Receive(t, via)
			if got := string(r.Encode()); !strings.Contains(got, want) || !strings.Contains(got, `"id":"t1"`) || !strings.Contains(got, fmt.Sprint(int(model.CodeInvalid))) {
				t.Errorf("%.40q: %s, want %s", data, got, want)
			}
		}
	}
	testbed.Run(t, s.Run) // it ends with the test: the requests are answered
}
