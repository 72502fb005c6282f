package aria2

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Files over FTP complete, also after dropped connections.
func TestEngine_FTPFileCompletesAfterDrops(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(3 << 20)
	s := downloadtest.ServeFTP(t, data, "", "")
	s.Drops.Store(2)
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "ftp", s.URL+"/file.bin")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if sent := s.Sent.Load(); sent > int64(len(data))*3/2 {
		t.Errorf("the server sent %d bytes for a file of %d", sent, len(data))
	}
}

// Each failure of FTP has its class.
func TestEngine_FTPFailuresAreClassified(t *testing.T) {
	t.Parallel()
	s := downloadtest.ServeFTP(t, nil, "me", "pa55word")
	e := newAria2(t, t.TempDir())
	user := func(id, path, password string) *model.TaskError {
		job := downloadtest.Job(t, id, s.URL+path, "ftp-user", "me", "ftp-passwd", password, "max-tries", "1")
		downloadtest.Add(t, e, job)
		return downloadtest.MustFail(t, e, id)
	}
	if err := user("wrong-password", "/file", "wrong"); err.Class != model.ClassPermanent {
		t.Errorf("a wrong password: %+v", err)
	}
	if err := user("missing", "/other", "pa55word"); err.Class != model.ClassPermanent || strings.Contains(err.Message, "pa55word") {
		t.Errorf("a file that is not there: %+v", err)
	}
}

// Files over SFTP complete.
func TestEngine_SFTPFileCompletes(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(3 << 20)
	path := filepath.Join(t.TempDir(), "file.bin")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	url := downloadtest.ServeSFTP(t, "me", "pa55word")
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "sftp", url+path, "ftp-user", "me", "ftp-passwd", "pa55word")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	for id, c := range map[string]struct{ path, password string }{
		"wrong-password": {path, "wrong"}, "missing": {path + "x", "pa55word"},
	} {
		downloadtest.Add(t, e, downloadtest.Job(t, id, url+c.path, "ftp-user", "me", "ftp-passwd", c.password, "max-tries", "1"))
		if err := downloadtest.MustFail(t, e, id); err.Class != model.ClassPermanent {
			t.Errorf("%s: %+v", id, err)
		}
	}
}

// seed makes a torrent of files and has an aria2c share it on loopback, with a
// tracker of the test's own. It returns the torrent.
func seed(t *testing.T, files map[string][]byte) (torrent []byte, tracker string) {
	t.Helper()
	dir, port := t.TempDir(), freeTCPPort(t)
	tracker = downloadtest.ServeTracker(t, port)
	torrent = downloadtest.Torrent("shared", tracker, files)
	for name, data := range files {
		path := filepath.Join(dir, "shared", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	share(t, dir, torrent, port)
	return torrent, tracker
}

// share has an aria2c give the files in dir to peers, until the test ends.
func share(t *testing.T, dir string, torrent []byte, port int) {
	t.Helper()
	path := filepath.Join(dir, "shared.torrent")
	if err := os.WriteFile(path, torrent, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(needAria2c(t), "--no-conf", "--dir="+dir, "--check-integrity=true", "--seed-ratio=0.0",
		"--listen-port="+strconv.Itoa(port), "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
		"--stop-with-process="+strconv.Itoa(os.Getpid()), "--disable-ipv6=true", path)
	cmd.Env = environment(dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it runs until then
		_ = cmd.Wait()
	})
}

// freeTCPPort is a port of loopback for a program that a test starts.
func freeTCPPort(t *testing.T) int {
	t.Helper()
	address, err := netip.ParseAddrPort(freeport.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	return int(address.Port())
}

// Torrents and magnet links complete from a swarm on loopback.
func TestEngine_TorrentsAndMagnetsComplete(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"one.bin": downloadtest.Data(700_000), "sub/two.bin": downloadtest.Data(300_001), "empty": nil}
	torrent, tracker := seed(t, files)
	web := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-bittorrent")
		_, _ = w.Write(torrent) // a client that is gone is no matter
	}))
	e := startEngine(t, Config{AllowBT: true})
	magnet := "magnet:?xt=urn:btih:" + downloadtest.InfoHash(torrent) + "&dn=shared&tr=" + url.QueryEscape(tracker)
	for id, spec := range map[string]model.TaskSpec{
		"inline": {Torrent: torrent}, "by-url": {URL: web.URL + "/shared.torrent"}, "magnet": {URL: magnet},
	} {
		t.Run(id, func(t *testing.T) { // one after the other: aria2 has each torrent once at a time
			job := downloadtest.Job(t, id, "")
			spec.ID = id
			job.Task.TaskSpec = spec
			downloadtest.Add(t, e, job)
			state := downloadtest.Await(t, e, id, downloadtest.Ended)
			if state.Phase != download.Complete || state.Total != 1_000_001 {
				t.Fatalf("%+v, error %+v", state, state.Err)
			}
			for _, f := range state.Files {
				got, err := os.ReadFile(filepath.Join(job.Dir, filepath.FromSlash(f.Path)))
				if want := files[strings.TrimPrefix(f.Path, "shared/")]; err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes, want %d, %v", f.Path, len(got), len(want), err)
				}
			}
			if len(state.Files) != len(files) {
				t.Errorf("%+v", state.Files)
			}
			downloadtest.Remove(t, e, id)
			downloadtest.Add(t, e, job) // as after a crash that lost how it ended
			if again := downloadtest.Await(t, e, id, downloadtest.Ended); again.Phase != download.Complete {
				t.Errorf("a second time: %+v, error %+v", again, again.Err)
			}
		})
	}
}

// A magnet link may name the files that it wants (BEP 53), from 0; the option select-file
// beats it.
func TestEngine_MagnetSelectsFiles(t *testing.T) {
	t.Parallel()
	torrent, tracker := seed(t, map[string][]byte{"a": downloadtest.Data(40_000), "b": downloadtest.Data(300_001), "c": downloadtest.Data(50_000)})
	e := withBT(t)
	magnet := "magnet:?xt=urn:btih:" + downloadtest.InfoHash(torrent) + "&tr=" + url.QueryEscape(tracker)
	for _, c := range []struct{ id, so, option, want string }{
		{"one", "&so=1", "", "shared/b"}, {"two", "&so=0,2", "", "shared/a shared/c"}, {"beaten", "&so=1", "3", "shared/c"},
	} {
		job := downloadtest.Job(t, c.id, magnet+c.so)
		if c.option != "" {
			job.Task.Options = model.Options{"select-file": {c.option}}
		}
		downloadtest.Add(t, e, job)
		state := downloadtest.Await(t, e, c.id, downloadtest.Ended)
		var got []string
		for _, f := range state.Files {
			got = append(got, f.Path)
		}
		if state.Phase != download.Complete || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, %v, error %+v", c.id, state.Phase, got, state.Err)
		}
		downloadtest.Remove(t, e, c.id)
	}
}

// What a magnet link selects is a value of select-file that aria2c accepts. A selection that
// names no file is refused at submit, as aria2c refuses its value, and never fetches every file.
func TestMagnet_SelectionIsAcceptedOrRefusedAsByAria2c(t *testing.T) {
	t.Parallel()
	for so, want := range map[string]string{"0": "", "0,2-4": "", "x,1": "", "all": "refused", "1-": "refused", "99999999999": "refused"} {
		spec := model.TaskSpec{URL: "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&so=" + so}
		err := spec.Validate()
		if (err != nil) != (want != "") {
			t.Errorf("so=%s: %v", so, err)
		}
		value := so
		if err == nil {
			value = model.MagnetSelection(so)
		}
		cmd := exec.CommandContext(t.Context(), needAria2c(t), "--no-conf", "--select-file="+value, "--version")
		cmd.Env = environment(t.TempDir())
		out, err := cmd.CombinedOutput()
		if (err != nil) != (want != "") {
			t.Errorf("aria2c with --select-file=%s: %v, %s", value, err, out)
		}
	}
}

// A torrent with names that leave the folder writes nothing outside.
func TestEngine_TorrentNamesStayInTheFolder(t *testing.T) {
	t.Parallel()
	e := startEngine(t, Config{Slots: 1, AllowBT: true})
	for id, name := range map[string]string{"dots": "../../escaped", "dots-inside": "a/../../../escaped"} {
		job := downloadtest.Job(t, id, "")
		job.Task.TaskSpec = model.TaskSpec{
			ID: id, Torrent: downloadtest.Torrent("shared", "http://127.0.0.1:1/", map[string][]byte{name: []byte("x")}),
		}
		downloadtest.Add(t, e, job)
		if err := downloadtest.MustFail(t, e, id); err.Class != model.ClassPermanent {
			t.Errorf("%s: %+v", id, err)
		}
	}
}

// A magnet link without a hash fails permanently.
func TestEngine_MagnetWithoutHashFailsPermanently(t *testing.T) {
	t.Parallel()
	e := startEngine(t, Config{Slots: 1, AllowBT: true})
	downloadtest.Add(t, e, downloadtest.Job(t, "no-hash", "magnet:?dn=nothing"))
	if err := downloadtest.MustFail(t, e, "no-hash"); err.Class != model.ClassPermanent {
		t.Errorf("%+v", err)
	}
}
