package downloadtest

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// FTP is an FTP server on loopback with one file under every name that begins
// with "file".
type FTP struct {
	URL            string       // ftp://HOST:PORT
	Drops          atomic.Int64 // how many of the next transfers are cut after a third of the file
	Sent           atomic.Int64 // bytes of files
	Told           chan string  // each command; the newest are lost when nobody reads
	content        []byte
	user, password string
}

// ServeFTP starts a server that ends with the test. It asks for user and password
// if user is not empty.
func ServeFTP(t *testing.T, data []byte, user, password string) *FTP {
	t.Helper()
	s := &FTP{content: data, user: user, password: password, Told: make(chan string, 1000)}
	s.URL = "ftp://" + testbed.Listen(t, "127.0.0.1:0", s.serve)
	return s
}

// ftpSession is one control connection.
type ftpSession struct {
	*FTP
	conn    net.Conn
	data    net.Listener
	rest    int64
	claimed string
	in      bool
}

func (s *FTP) serve(conn net.Conn) {
	f := &ftpSession{FTP: s, conn: conn, in: s.user == ""}
	defer func() {
		_ = conn.Close()
		if f.data != nil {
			_ = f.data.Close()
		}
	}()
	f.say("220 ready")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := strings.TrimRight(lines.Text(), "\r")
		select {
		case s.Told <- line:
		default:
		}
		verb, arg, _ := strings.Cut(line, " ")
		if !f.obey(strings.ToUpper(verb), arg) {
			return
		}
	}
}

func (f *ftpSession) say(format string, args ...any) {
	_, _ = fmt.Fprintf(f.conn, format+"\r\n", args...) // a client that is gone shows at the next read
}

// obey carries out one command; false ends the session.
func (f *ftpSession) obey(verb, arg string) bool {
	switch {
	case verb == "QUIT":
		f.say("221 bye")
		return false
	case verb == "USER":
		f.claimed = arg
		f.say("331 and the password?")
	case verb == "PASS":
		if f.user != "" && (f.claimed != f.user || arg != f.password) {
			f.say("530 not logged in")
			return true
		}
		f.in = true
		f.say("230 welcome")
	case !f.in:
		f.say("530 not logged in")
	case verb == "CWD":
		f.say("250 there")
	case verb == "TYPE":
		f.say("200 yes")
	case verb == "PWD":
		f.say(`257 "/"`)
	case verb == "SIZE" && strings.HasPrefix(arg, "file"):
		f.say("213 %d", len(f.content))
	case verb == "MDTM" && strings.HasPrefix(arg, "file"):
		f.say("213 20200101000000")
	case verb == "REST":
		f.rest, _ = strconv.ParseInt(arg, 10, 64)
		f.say("350 from there")
	case verb == "PASV", verb == "EPSV":
		return f.listen(verb)
	case verb == "RETR" && strings.HasPrefix(arg, "file"):
		return f.send()
	default:
		f.say("550 no such file or command")
	}
	return true
}

func (f *ftpSession) listen(verb string) bool {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return false
	}
	if f.data != nil {
		_ = f.data.Close()
	}
	f.data = l
	port := l.Addr().(*net.TCPAddr).Port
	if verb == "EPSV" {
		f.say("229 here (|||%d|)", port)
	} else {
		f.say("227 here (127,0,0,1,%d,%d)", port>>8, port&255)
	}
	return true
}

// send moves the file over the data connection; false if it broke off.
func (f *ftpSession) send() bool {
	if f.data == nil {
		f.say("425 PASV first")
		return true
	}
	f.say("150 it comes")
	conn, err := f.data.Accept()
	if err != nil {
		return false
	}
	defer conn.Close()
	part := f.content[min(max(f.rest, 0), int64(len(f.content))):]
	f.rest = 0
	whole := f.Drops.Add(-1) < 0
	if !whole {
		part = part[:min(len(part), len(f.content)/3)]
	}
	n, err := conn.Write(part)
	f.Sent.Add(int64(n))
	_ = conn.Close()
	if err != nil || !whole {
		f.say("426 the connection broke") // as servers do; aria2 would take an end right after the 150 for no answer
		return true
	}
	f.say("226 done")
	return true
}
