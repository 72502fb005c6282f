package netguard

import (
	"bufio"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// The proxy notes the final reply to a transfer, and sends another command instead of SIZE for a
// user from whom that is hidden. It waits for a reply that comes after the client has left.
func TestProxy_NotesTransfersOfFTP(t *testing.T) {
	left := make(chan bool, 1)
	address := testbed.Listen(t, "127.0.0.1:0", func(conn net.Conn) {
		defer conn.Close()
		_, _ = io.WriteString(conn, "220-a server\r\n226 of files\r\n220 ready\r\n") // a client that left sees it, here and below
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			verb, arg, _ := strings.Cut(lines.Text(), " ")
			switch verb {
			case "SIZE":
				_, _ = io.WriteString(conn, "213 7\r\n")
			case "NOOP":
				_, _ = io.WriteString(conn, "200 yes\r\n")
			case "RETR":
				_, _ = io.WriteString(conn, "150 it comes\r\n")
				if arg == "late" {
					<-left
				}
				if arg != "cut" {
					_, _ = io.WriteString(conn, "226-that\r\n550 was\r\n226 all\r\n")
				}
				if arg != "file" {
					return
				}
			}
		}
	})
	p := newProxy(t, New(networks(t, "loopback"), nil))
	for name, c := range map[string]struct {
		hides bool
		ask   []string
		reply string // to the last command
		want  int
	}{
		"a size":        {false, []string{"SIZE f"}, "213 7", 0},
		"a hidden size": {true, []string{"SIZE f"}, "200 yes", 0},
		"a file":        {false, []string{"RETR file"}, "150 it comes", 226},
		"no reply":      {false, []string{"RETR cut"}, "150 it comes", 0},
		"a late reply":  {false, []string{"RETR late"}, "150 it comes", 226},
		"another file":  {false, []string{"RETR file", "RETR cut"}, "150 it comes", 0},
	} {
		t.Run(name, func(t *testing.T) {
			through, err := url.Parse(p.Admit("task"))
			if err != nil {
				t.Fatal(err)
			}
			if c.hides {
				p.HideSize("task")
			}
			conn, err := throughProxy(through)(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			in := bufio.NewScanner(conn)
			await := func(want string) {
				t.Helper()
				for in.Scan() {
					if in.Text() == want {
						return
					}
				}
				t.Fatalf("no line %q: %v", want, in.Err())
			}
			await("220 ready")
			for i, command := range c.ask {
				if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
					t.Fatal(err)
				}
				if i == len(c.ask)-1 {
					await(c.reply)
				} else {
					await("226 all")
				}
			}
			conn.Close()
			if name == "a late reply" {
				testbed.Eventually(t, "the transfer is awaited", func() bool { return p.Traffic("task").Transfers == 1 })
				left <- true
			}
			testbed.Eventually(t, "no transfer is awaited", func() bool { return p.Traffic("task").Transfers == 0 })
			if got := p.Traffic("task").Reply; c.want != 0 && got != c.want {
				t.Errorf("the last reply is %d, want %d", got, c.want)
			}
			if got := p.Traffic("task").Transfer; got != c.want {
				t.Errorf("the reply is %d, want %d", got, c.want)
			}
		})
	}
}

// The address of a transfer is in parentheses for aria2c, and nothing else is changed.
func TestWithParentheses(t *testing.T) {
	const usual = "227 Entering Passive Mode (127,0,0,1,4,5).\r\n"
	for reply, want := range map[string]string{
		"227 Entering Passive Mode 127,0,0,1,4,5\r\n": usual, "227 =127,0,0,1,4,5\r\n": usual, "227 127,0,0,1,4,5 here\n": usual,
		"227 here (127,0,0,1,4,5)\r\n": "", "227 nowhere\r\n": "", "227 1,2,3\r\n": "", "227 127,0,0,1,4,": "", "227-127,0,0,1,4,5\r\n": "",
		"229 here (|||5|)\r\n": "", "227 127,0,0,1,4,5\r\n226 done\r\n": "", "": "", "227 ": "",
	} {
		if want == "" {
			want = reply
		}
		if got := string(withParentheses([]byte(reply))); got != want {
			t.Errorf("%q becomes %q, want %q", reply, got, want)
		}
	}
}

// sentConn notes what is written to it.
type sentConn struct {
	net.Conn
	strings.Builder
}

func (c *sentConn) Write(b []byte) (int, error) { return c.Builder.Write(b) }

// A refusal of PASV is not forwarded: EPSV is sent, and its reply is forwarded as one to PASV.
func TestPassiveReply_RefusalBecomesEPSV(t *testing.T) {
	const refusal = "500 not over IPv6\r\n"
	for name, c := range map[string]struct {
		commands string   // of near
		replies  []string // of far, then what near gets
		sent     string   // to far
	}{
		"no command":        {"", []string{refusal, refusal}, ""},
		"another command":   {"SIZE f\r\n", []string{refusal, refusal}, "SIZE f\r\n"},
		"an address":        {"PASV\r\n", []string{"227 (1,2,3,4,5,6)\r\n", "227 (1,2,3,4,5,6)\r\n"}, "PASV\r\n"},
		"EPSV":              {"PASV\r\n", []string{refusal, "", "229 here (|||1029|)\r\n", "227 Entering Passive Mode (0,0,0,0,4,5).\r\n"}, "PASV\r\nEPSV\r\n"},
		"another delimiter": {"PASV\r\n", []string{"425 no\r\n", "", "229 (!!!5!)\r\n", "227 Entering Passive Mode (0,0,0,0,0,5).\r\n"}, "PASV\r\nEPSV\r\n"},
		"no port":           {"PASV\r\n", []string{refusal, "", "229 here\r\n", "229 here\r\n"}, "PASV\r\nEPSV\r\n"},
		"refused too":       {"PASV\r\n", []string{refusal, "", "522 no\r\n", "522 no\r\n"}, "PASV\r\nEPSV\r\n"},
		"one more reply":    {"PASV\r\n", []string{refusal, "", refusal, refusal, refusal, refusal}, "PASV\r\nEPSV\r\n"},
		"in pieces":         {"PASV\r\n", []string{"500 no", "500 no"}, "PASV\r\n"},
		"the end":           {"PASV\r\n", []string{"421 bye\r\n", "421 bye\r\n"}, "PASV\r\n"},
	} {
		far := &sentConn{}
		m := &monitor{proxy: newProxy(t, New(networks(t, "loopback"), nil)), far: far}
		if _, err := m.forward(far, []byte(c.commands)); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(c.replies); i += 2 {
			if got := string(m.passiveReply([]byte(c.replies[i]))); got != c.replies[i+1] {
				t.Errorf("%s: %q becomes %q, want %q", name, c.replies[i], got, c.replies[i+1])
			}
		}
		if far.String() != c.sent {
			t.Errorf("%s: the server got %q, want %q", name, far.String(), c.sent)
		}
	}
}

// A reply ends with a line that has a space after its code.
func TestNoteReply_ReadsFinalLines(t *testing.T) {
	for lines, want := range map[string]int{
		"226 ": 226, "226\r": 226, "426 ": 426, "226-": 0, "150 ": 0, "22": 0, "": 0, " 226": 0, "2x6 ": 0, "626 ": 0, "226x": 0,
		"226-,426 ": 0, "226-,426 ,226 ": 226, "150-,226 ,150 ": 0, "150-,150 ,226 ": 226, "226-,226-,226 ": 226,
	} {
		p := newProxy(t, New(networks(t, "loopback"), nil))
		p.Admit("task")
		m := &monitor{proxy: p, user: "task", replied: make(chan struct{}, 1)}
		m.beginTransfer()
		for line := range strings.SplitSeq(lines, ",") {
			m.noteReply([]byte(line))
		}
		if got := p.Traffic("task").Transfer; got != want {
			t.Errorf("%q: %d, want %d", lines, got, want)
		}
	}
}

// What an FTP server says to a client that never asks is no transfer; any other bytes are.
func TestProxy_CountsTransfersOnly(t *testing.T) {
	for sent, want := range map[string]int64{
		"220 ready\r\n": 0, "421 too many users\r\n": 0, "421-too many\r\n421 users\r\n": 0, "4210 bytes": 10, "some bytes": 10,
	} {
		p := newProxy(t, New(networks(t, "loopback"), nil))
		through, err := url.Parse(p.Admit("task"))
		if err != nil {
			t.Fatal(err)
		}
		address := testbed.Listen(t, "127.0.0.1:0", func(conn net.Conn) {
			defer conn.Close()
			_, _ = io.WriteString(conn, sent) // the client reads it all
		})
		conn, err := throughProxy(through)(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != sent {
			t.Errorf("%q, %v; want %q", got, err, sent)
		}
		if got := p.Traffic("task").Longest; got != want {
			t.Errorf("%q: %d bytes of a transfer, want %d", sent, got, want)
		}
		conn.Close()
	}
}
