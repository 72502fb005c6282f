package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/proc"
)

// server is a running nginx.
type server struct {
	*proc.Process
	address string
	log     string // of requests
}

// findServer returns the path of nginx, "" if it is not installed. It is often not on the
// PATH of a user.
func findServer() string {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// startServer starts an nginx that serves dir/served on a free port.
func startServer(ctx context.Context, dir string) (*server, error) {
	path := findServer()
	if path == "" {
		return nil, fmt.Errorf("nginx is not installed (apt-get install nginx)")
	}
	address, err := proc.FreeAddress()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "nginx")
	if err := os.Mkdir(home, 0o755); err != nil {
		return nil, err
	}
	s := &server{address: address, log: filepath.Join(home, "requests.log")}
	text := fmt.Sprintf(configuration, home, address, filepath.Join(dir, "served"), s.log)
	if os.Getuid() == 0 {
		text = "user root;\n" + text
	}
	config := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	s.Process, err = proc.Start(ctx, proc.Spec{Name: "nginx", Path: path, Args: []string{"-c", config, "-p", home, "-e", filepath.Join(home, "error.log")}, Dir: home})
	if err != nil {
		return nil, err
	}
	if err := s.Await(ctx, proc.Listening(address)); err != nil {
		s.Stop(syscall.SIGKILL)
		return nil, err
	}
	return s, nil
}

// configuration is that of nginx: its home, address, folder and log. The log is buffered
// for at most 50 ms.
const configuration = `daemon off;
worker_processes 1;
pid %[1]s/pid;
events { worker_connections 1024; }
http {
	default_type application/octet-stream;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000;
	log_format bytes '$bytes_sent $request_length';
	client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3;
	uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
	server {
		listen %[2]s;
		root %[3]s;
		access_log %[4]s bytes buffer=64k flush=50ms;
	}
}
`

func (s *server) url(file string) string { return "http://" + s.address + "/" + file }

// wire is what the server has sent and received over HTTP.
type wire struct {
	Requests int
	Bytes    int64
}

// traffic returns the traffic since the last call. It waits until the log has a request
// that it makes itself, and does not count that.
func (s *server) traffic(ctx context.Context) (wire, error) {
	const marker = "/no-such-file"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+marker, nil)
	if err != nil {
		return wire{}, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return wire{}, err
	}
	resp.Body.Close()
	select {
	case <-time.After(120 * time.Millisecond): // nginx has written its buffer
	case <-ctx.Done():
		return wire{}, ctx.Err()
	}
	f, err := os.OpenFile(s.log, os.O_RDWR, 0)
	if err != nil {
		return wire{}, err
	}
	defer f.Close()
	w := wire{Requests: -1} // without our own
	for lines := bufio.NewScanner(f); lines.Scan(); w.Requests++ {
		for _, field := range strings.Fields(lines.Text()) {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return wire{}, fmt.Errorf("the log of nginx: %w", err)
			}
			w.Bytes += n
		}
	}
	return w, f.Truncate(0) // nginx appends
}
