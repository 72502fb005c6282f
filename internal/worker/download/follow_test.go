package download

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A torrent or metalink is followed whatever is before its content. One that is announced and cannot
// be read, or is too large, fails; any other file is complete.
func TestFollow_ByContentAndAnnouncement(t *testing.T) {
	const list, torrent = `<metalink><file name="f"/></metalink>`, "d4:infod4:name1:fee"
	both := model.Capabilities{SupportsBT: true, SupportsMetalink: true}
	large := strings.Repeat(" ", MaxMetalink+1-len(list)) + list
	for name, c := range map[string]struct {
		file, content string
		announced     Lead
		caps          model.Capabilities
		want          Lead
		code          int
	}{
		"a torrent":                        {"f", torrent, "", both, LeadTorrent, 0},
		"a torrent with a comment of 9 MB": {"f", "d7:comment9000000:" + strings.Repeat("x", 9_000_000) + torrent[1:], "", both, LeadTorrent, 0},
		"a metalink":                       {"f", list, "", both, LeadMetalink, 0},
		"a metalink after a comment":       {"f", "<!--" + strings.Repeat("x", 1<<20) + "-->" + list, "", both, LeadMetalink, 0},
		"a metalink of 8 MiB":              {"f", large[1:], "", both, LeadMetalink, 0},
		"a metalink as a torrent":          {"f.torrent", list, LeadTorrent, both, LeadMetalink, 0},
		"a file":                           {"f", "<html>", "", both, "", 0},
		"an empty file":                    {"f", "", "", both, "", 0},
		"a large file":                     {"f", large, "", both, "", 0},
		"a page called torrent":            {"f.TORRENT", "<html>", "", both, "", CodeTorrent},
		"a page called metalink":           {"f.metalink", "<html>", "", both, "", CodeMetalink},
		"an empty meta4":                   {"f.meta4", "", "", both, "", CodeMetalink},
		"a large meta4":                    {"f.meta4", large, "", both, "", CodeMetalink},
		"a page announced as a torrent":    {"f", "<html>", LeadTorrent, both, "", CodeTorrent},
		"a large metalink by media type":   {"f", large, LeadMetalink, both, "", CodeMetalink},
		"torrents only, and a metalink":    {"f.meta4", list, "", model.Capabilities{SupportsBT: true}, "", 0},
		"torrents only, and a page":        {"f.meta4", "<html>", "", model.Capabilities{SupportsBT: true}, "", 0},
		"neither":                          {"f.torrent", "<html>", LeadTorrent, model.Capabilities{}, "", 0},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		job := &Job{Task: &model.Task{TaskSpec: model.TaskSpec{URL: "http://host/file"}}, Dir: dir}
		next, ok, failure := Follow(job, []model.File{{Path: c.file, Length: int64(len(c.content))}}, c.announced, &c.caps)
		var kind Lead
		switch {
		case ok && len(next.Task.Torrent) > 0:
			kind = LeadTorrent
		case ok && len(next.Task.Metalink) > 0:
			kind = LeadMetalink
		}
		if kind != c.want {
			t.Errorf("%s leads to %q, want %q", name, kind, c.want)
		}
		switch {
		case c.code == 0 && failure != nil, c.code != 0 && failure == nil:
			t.Errorf("%s: %+v", name, failure)
		case failure != nil && (failure.Code != c.code || failure.Class != model.ClassPermanent || failure.Host != "host" || !strings.Contains(failure.Message, "host")):
			t.Errorf("%s: %+v", name, failure)
		}
	}
}

// A URL keeps its meaning if the option out gives the file another name.
func TestFollow_URLCountsBesideOut(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := []model.File{{Path: "f", Length: 6}}
	spec := model.TaskSpec{URL: "http://host/list.torrent?a=b", Options: model.Options{"out": {"f"}}}
	if _, ok, failure := Follow(&Job{Task: &model.Task{TaskSpec: spec}, Dir: dir}, files, "", &model.Capabilities{SupportsBT: true}); ok || failure == nil {
		t.Errorf("%v, %+v", ok, failure)
	}
}
