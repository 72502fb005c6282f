package aria2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A torrent without a tracker finds its peers in the DHT, if the worker has a node of it. What
// aria2c learns of the DHT is kept for its next start.
func TestTorrent_PeersComeFromDHT(t *testing.T) {
	t.Parallel()
	dir, port, data := t.TempDir(), freeTCPPort(t), downloadtest.Data(300_000)
	torrent := downloadtest.SingleTorrent("f.bin", "", data)
	if err := os.WriteFile(filepath.Join(dir, "f.bin"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	share(t, dir, torrent, port)
	state := t.TempDir()
	e := makeEngine(t, Config{AllowBT: true, StateDir: state, DHTNode: serveDHT(t, port)})
	job := downloadtest.Job(t, "trackerless", "")
	job.Task.TaskSpec = model.TaskSpec{ID: "trackerless", Torrent: torrent}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(state, "aria2.dht")); err != nil {
		t.Error(err)
	}
}

// serveDHT answers each question for peers with the one at port of loopback, as a node of the DHT
// that stores it (BEP 5). It returns its address.
func serveDHT(t *testing.T, port int) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	peer := binary.BigEndian.AppendUint16([]byte{127, 0, 0, 1}, uint16(port))
	go func() {
		message := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(message)
			if err != nil {
				return
			}
			found := ""
			query, rest := bencoded(message[:n], "1:q")
			if query == "get_peers" {
				found = fmt.Sprintf("5:token1:x6:valuesl6:%se", peer)
			}
			id, _ := bencoded(rest, "1:t")
			_, _ = fmt.Fprintf(&packet{conn, from}, "d1:rd2:id20:%s%se1:t%d:%s1:y1:re", "a node of this test.", found, len(id), id) // as lossy as any packet
		}
	}()
	return conn.LocalAddr().String()
}

// bencoded returns the text that follows a key in a message, and what follows that.
func bencoded(message []byte, key string) (text string, rest []byte) {
	_, value, _ := bytes.Cut(message, []byte(key))
	length, value, _ := bytes.Cut(value, []byte(":"))
	n, err := strconv.Atoi(string(length))
	if err != nil || n > len(value) {
		return "", nil
	}
	return string(value[:n]), value[n:]
}

// packet sends each write to one address.
type packet struct {
	conn net.PacketConn
	to   net.Addr
}

func (p *packet) Write(b []byte) (int, error) { return p.conn.WriteTo(b, p.to) }
