package aria2rpc_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// swarmFile is the length of each of the two files of a swarm.
const swarmFile = 1 << 20

// startSwarm runs a tracker, and an aria2c that seeds a torrent of two files slowly. It
// returns the torrent in base64 and the content of the second file.
func startSwarm(t *testing.T) (torrent string, second []byte) {
	t.Helper()
	_, seed, _ := net.SplitHostPort(freeport.Address(t))
	port, err := strconv.ParseUint(seed, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	tracker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		peer := binary.BigEndian.AppendUint16([]byte{127, 0, 0, 1}, uint16(port))
		fmt.Fprintf(w, "d8:intervali1e12:min intervali1e5:peers6:%se", peer)
	}))
	t.Cleanup(tracker.Close)
	first, second := bytes.Repeat([]byte("first "), swarmFile)[:swarmFile], bytes.Repeat([]byte("second "), swarmFile)[:swarmFile]
	data := downloadtest.Torrent("pack", tracker.URL+"/announce", map[string][]byte{"a.bin": first, "b.bin": second})
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pack"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"pack/a.bin": first, "pack/b.bin": second, "pack.torrent": data} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Start(t, exec.Command(testbed.RequireBinary(t, "aria2c"), "--no-conf", "--quiet", "--dir="+dir, "--check-integrity=true", "--seed-ratio=0.0",
		"--enable-dht=false", "--bt-enable-lpd=false", "--listen-port="+seed, "--disable-ipv6=true", "--max-overall-upload-limit=256K", filepath.Join(dir, "pack.torrent")))
	return base64Of(string(data)), second
}

// A running torrent answers as a download does: its status, its files, no peers, and
// another selection of files, which is what completes.
func TestTorrent_RunsAndChangesItsSelection(t *testing.T) {
	torrent, second := startSwarm(t)
	e := startClusterWith(t, func(c *config.Worker) { c.AllowBT = true })
	gid, _ := e.result(t, "aria2.addTorrent", torrent).(string)
	e.waitFor(t, gid, "moving")
	status, _ := e.result(t, "aria2.tellStatus", gid).(map[string]any)
	for name, want := range map[string]string{
		"status": "active", "totalLength": fmt.Sprint(2 * swarmFile), "numSeeders": "0", "seeder": "false", "uploadLength": "0", "errorCode": "<nil>",
	} {
		if got := fmt.Sprint(status[name]); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if about := text(status["bittorrent"]); !strings.Contains(about, `"mode":"multi"`) || !strings.Contains(about, `"name":"pack"`) {
		t.Errorf("bittorrent is %s", about)
	}
	if hash, _ := status["infoHash"].(string); len(hash) != 40 {
		t.Errorf("infoHash is %q", hash)
	}
	if got := selection(e.result(t, "aria2.getFiles", gid)); got != "a.bin true, b.bin true" {
		t.Errorf("the files are %s", got)
	}
	if peers := e.result(t, "aria2.getPeers", gid); text(peers) != "[]" {
		t.Errorf("the peers are %s", text(peers))
	}
	if got := e.result(t, "aria2.changeOption", gid, fields{"select-file": "2"}); got != "OK" {
		t.Errorf("changeOption: %v", got)
	}
	if got := selection(e.result(t, "aria2.getFiles", gid)); got != "a.bin false, b.bin true" {
		t.Errorf("after changeOption the files are %s", got)
	}
	if got := e.result(t, "aria2.pause", gid); got != gid {
		t.Errorf("pause: %v", got)
	}
	e.result(t, "aria2.unpause", gid)
	e.waitFor(t, gid, "complete")
	if got := selection(e.result(t, "aria2.getFiles", gid)); got != "b.bin true" {
		t.Errorf("at the end the files are %s", got)
	}
	all, _ := e.result(t, "aria2.getFiles", gid).([]any)
	file, _ := all[len(all)-1].(map[string]any)
	path, _ := file["path"].(string)
	if content, err := os.ReadFile(path); err != nil || !bytes.Equal(content, second) {
		t.Errorf("%s: %d bytes, %v", path, len(content), err)
	}
}

// selection names each file and whether it is selected.
func selection(files any) string {
	all, _ := files.([]any)
	var names []string
	for _, one := range all {
		file, _ := one.(map[string]any)
		names = append(names, fmt.Sprintf("%s %s", filepath.Base(fmt.Sprint(file["path"])), file["selected"]))
	}
	return strings.Join(names, ", ")
}
