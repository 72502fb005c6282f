package downloadtest

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// FTP is an FTP server on loopback with one file under every name that begins
// with "file".
type FTP struct {
	URL     string       // ftp://HOST:PORT
	Drops   atomic.Int64 // how many of the next transfers are cut after a third of the file
	End     atomic.Value // a string: the reply to a whole transfer, if it is not empty; with "hang up" the server sends no reply
	Passive atomic.Value // a string: the form of the reply to PASV with two numbers for the port, if it is not empty
	Sent    atomic.Int64 // bytes of files
	Told    chan string  // each command; the newest are lost when nobody reads

	answer         FTPAnswer // nil: as usual
	content        []byte
	user, password string
}

// FTPAnswer may replace the answer to a command, or to "" at the begin. It returns "" where
// the server answers as usual, "hang up" to end the session, and "silence" for no answer.
// Sessions call it at the same time.
type FTPAnswer func(verb, arg string) string

// ServeFTP starts a server that ends with the test. It asks for user and password
// if user is not empty.
func ServeFTP(t *testing.T, data []byte, user, password string) *FTP {
	t.Helper()
	return ServeFTPWith(t, data, user, password, nil)
}

// ServeFTPWith is ServeFTP for a server with other answers.
func ServeFTPWith(t *testing.T, data []byte, user, password string, answer FTPAnswer) *FTP {
	t.Helper()
	s := &FTP{content: data, user: user, password: password, answer: answer, Told: make(chan string, 1000)}
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
	hungUp  bool
}

func (s *FTP) serve(conn net.Conn) {
	f := &ftpSession{FTP: s, conn: conn, in: s.user == ""}
	defer func() {
		_ = conn.Close()
		if f.data != nil {
			_ = f.data.Close()
		}
	}()
	if !f.replaced("", "") {
		f.say("220 ready")
	}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := strings.TrimRight(lines.Text(), "\r")
		select {
		case s.Told <- line:
		default:
		}
		verb, arg, _ := strings.Cut(line, " ")
		switch {
		case f.replaced(strings.ToUpper(verb), arg):
			if f.hungUp {
				return
			}
		case !f.obey(strings.ToUpper(verb), arg):
			return
		}
	}
}

// replaced answers a command as the test says, if it does.
func (f *ftpSession) replaced(verb, arg string) bool {
	if f.answer == nil {
		return false
	}
	answer := f.answer(verb, arg)
	if f.hungUp = answer == "hang up"; answer != "" && answer != "silence" && !f.hungUp {
		f.say("%s", answer)
	}
	return answer != ""
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
	case verb == "MLST" && strings.HasPrefix(arg, "file"):
		f.say("250-it is\r\n Type=file;Size=%d;Modify=20200101000000; %s\r\n250 that", len(f.content), arg)
	case verb == "STAT" && strings.HasPrefix(arg, "file"):
		f.say("213-it is\r\n-rw-r--r--   1 ftp      ftp      %d Jan 01  2020 %s\r\n213 that", len(f.content), arg)
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
		form, _ := f.Passive.Load().(string)
		f.say(cmp.Or(form, "227 here (127,0,0,1,%d,%d)"), port>>8, port&255)
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
	if tcp, isTCP := conn.(*net.TCPConn); isTCP && err == nil {
		// aria2c waits for its whole timeout if the last answer comes together with the 150.
		_ = tcp.CloseWrite() // fails only if the client is gone
		_ = tcp.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, tcp) // until the client has read all
	}
	_ = conn.Close()
	if err != nil || !whole {
		f.say("426 the connection broke") // as servers do; aria2 would take an end right after the 150 for no answer
		return true
	}
	end, _ := f.End.Load().(string)
	if end == "hang up" {
		return false
	}
	f.say("%s", cmp.Or(end, "226 done"))
	return true
}
