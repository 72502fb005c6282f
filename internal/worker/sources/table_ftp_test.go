package sources

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// ftpBehaviour is what an FTP server does, and what each client makes of it. Its name is
// its row in docs/sources.md.
type ftpBehaviour struct {
	name    string
	path    string // of the URL; "" is /file.bin
	user    string // that the URL has, with the password pw
	empty   bool   // the file has no byte
	drops   int64  // transfers that are cut
	end     string // the reply to a whole transfer; "" is 226
	passive string // the form of the reply to PASV; "" is the usual one
	answer  func() func(verb, arg string) string
	file    string // the right name; "" is file.bin
	verdict string // of aria2c, curl, a worker with aria2; "" is ok for all
	reason  string // why the worker does not complete what aria2c or curl does, or completes other bytes
}

// ftpAnswers replaces the answers to some commands.
func ftpAnswers(pairs ...string) func() func(verb, arg string) string {
	return func() func(verb, arg string) string {
		return func(verb, _ string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == verb {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
}

// onceAnswered replaces the first answer to a command.
func onceAnswered(verb, answer string) func() func(verb, arg string) string {
	return func() func(string, string) string {
		var asked atomic.Bool
		return func(got, _ string) string {
			if got != verb || asked.Swap(true) {
				return ""
			}
			return answer
		}
	}
}

func ftpBehaviours() []ftpBehaviour {
	return []ftpBehaviour{
		{name: "a good FTP server"},
		{name: "FTP without EPSV", answer: ftpAnswers("EPSV", "502 not here")},
		{name: "FTP without PASV", verdict: "no ok ok", answer: ftpAnswers("PASV", "502 not here")},
		{name: "FTP with a passive address without parentheses", verdict: "no ok ok", passive: "227 Entering Passive Mode 127,0,0,1,%d,%d"},
		{name: "FTP with a passive address after an equals sign", verdict: "no ok ok", passive: "227 =127,0,0,1,%d,%d"},
		{name: "FTP without SIZE", answer: ftpAnswers("SIZE", "502 not here")},
		{name: "FTP without MDTM", answer: ftpAnswers("MDTM", "502 not here")},
		{name: "FTP without REST", answer: ftpAnswers("REST", "502 not here")},
		{name: "FTP without PWD", verdict: "no ok no", reason: "aria2c needs the answer", answer: ftpAnswers("PWD", "502 not here")},
		{name: "FTP without TYPE", verdict: "no no no", answer: ftpAnswers("TYPE", "502 not here")},
		{name: "FTP without CWD", verdict: "no ok no", reason: "aria2c changes to the folder of the file first, also to /", answer: ftpAnswers("CWD", "550 no such folder")},
		{name: "FTP with a greeting of several lines", answer: ftpAnswers("", "220-ready\r\n 220 not yet\r\n220-nor now\r\n220 now")},
		{name: "FTP without a password", answer: ftpAnswers("USER", "230 welcome", "PASS", "503 you are in")},
		{name: "FTP with a login of several lines", answer: ftpAnswers("PASS", "230-rules\r\n230-more rules\r\n230 welcome")},
		{name: "FTP with a user and password", user: "me"},
		{name: "FTP that is busy once", verdict: "no no no", answer: onceAnswered("", "421 too many users")},
		{name: "FTP that refuses a login once", verdict: "no no no", answer: onceAnswered("PASS", "530 too many users")},
		{name: "FTP that refuses a transfer once", verdict: "no no no", answer: onceAnswered("RETR", "425 no connection")},
		{name: "FTP that refuses a file once", verdict: "no no no", answer: onceAnswered("RETR", "450 it is in use")},
		{name: "FTP that hangs up before the transfer once", verdict: "ok no ok", answer: onceAnswered("RETR", "hang up")},
		{name: "FTP with a size of zero", verdict: "bytes ok ok", answer: ftpAnswers("SIZE", "213 0")},
		{name: "FTP with a size of zero, and no other", verdict: "bytes ok ok", answer: ftpAnswers("SIZE", "213 0", "MLST", "502 not here", "STAT", "502 not here")},
		{name: "FTP with a size that is too small", verdict: "bytes bytes ok", answer: ftpAnswers("SIZE", "213 1000")},
		{name: "FTP with a size that is too small, and no other", verdict: "bytes bytes ok", answer: ftpAnswers("SIZE", "213 1000", "MLST", "502 not here", "STAT", "502 not here")},
		{name: "FTP with a size of one byte less, and no other", verdict: "bytes bytes ok", answer: ftpAnswers("SIZE", "213 199999", "MLST", "502 not here", "STAT", "502 not here")},
		{name: "FTP with a size of zero, and so every other", verdict: "bytes ok ok", answer: ftpAnswers("SIZE", "213 0", "MLST", "250-it is\r\n Type=file;Size=0; file.bin\r\n250 that", "STAT", "213-it is\r\n-rw-r--r-- 1 ftp ftp 0 Jan 01 2020 file.bin\r\n213 that")},
		{name: "FTP with a size of zero and drops without end", verdict: "bytes no no", drops: 1000, answer: ftpAnswers("SIZE", "213 0", "MLST", "502 not here", "STAT", "502 not here")},
		{name: "FTP with an empty file", empty: true},
		{name: "FTP with an empty file, without SIZE", empty: true, answer: ftpAnswers("SIZE", "502 not here")},
		{name: "FTP that ends a transfer with 250", end: "250 done"},
		{name: "FTP that ends a transfer with several lines", verdict: "ok no ok", end: "226-done\r\n426 lines\r\n226 and all"},
		{name: "FTP that ends a transfer with 426", verdict: "ok no ok", end: "426 the connection broke"},
		{name: "FTP that ends a transfer without a reply", verdict: "ok no ok", end: "hang up"},
		{name: "FTP that ends a transfer without a reply, and any length", verdict: "ok no no", reason: "nothing says that the bytes are all. The attempt is repeated", end: "hang up", answer: ftpAnswers("SIZE", "502 not here", "MLST", "502 not here", "STAT", "502 not here")},
		{name: "FTP with a size that is too large", verdict: "no no no", answer: ftpAnswers("SIZE", "213 300000")},
		{name: "FTP with a size that is no number", verdict: "no ok ok", answer: ftpAnswers("SIZE", "213 many")},
		{name: "FTP with a drop halfway", verdict: "ok no ok", drops: 1},
		{name: "FTP with a drop halfway, without REST", verdict: "no no ok", drops: 1, answer: ftpAnswers("REST", "502 not here")},
		{name: "FTP with a drop halfway, without SIZE", verdict: "bytes no ok", drops: 1, answer: ftpAnswers("SIZE", "502 not here")},
		{name: "FTP with a drop halfway, without SIZE and MLST", verdict: "bytes no ok", drops: 1, answer: ftpAnswers("SIZE", "502 not here", "MLST", "502 not here")},
		{name: "FTP with drops without end, without SIZE", verdict: "bytes no no", drops: 1000, answer: ftpAnswers("SIZE", "502 not here")},
		{name: "FTP with a drop halfway, without any length", verdict: "bytes no ok", drops: 1, answer: ftpAnswers("SIZE", "502 not here", "MLST", "502 not here", "STAT", "502 not here")},
		{name: "FTP with a name that has spaces", verdict: "ok name ok", path: "/file%20one.bin", file: "file one.bin"},
		{name: "FTP with a raw space in the URL", verdict: "ok no ok", path: "/file one.bin", file: "file one.bin"},
		{name: "FTP with a name in UTF-8", verdict: "ok name ok", path: "/file%C3%A9.bin", file: "file\u00e9.bin"},
		{name: "FTP with a folder", path: "/one/two/file.bin"},
		{name: "FTP with an absolute path", path: "/%2Fone/file.bin"},
		{name: "FTP with a type in the URL", verdict: "name name name", reason: "aria2c and curl take it for a part of the name too", path: "/file.bin;type=i"},
		{name: "FTP with a folder that has a percent sign", path: "/100%25/file.bin"},
	}
}

func (c *client) tryFTP(t *testing.T, f *ftpBehaviour) (outcome, string) {
	t.Helper()
	b := behaviour{name: f.name, empty: f.empty}
	password := ""
	if f.user != "" {
		password = "pw"
	}
	var answer downloadtest.FTPAnswer
	if f.answer != nil {
		answer = f.answer()
	}
	s := downloadtest.ServeFTPWith(t, b.data(), f.user, password, answer)
	s.Drops.Store(f.drops)
	s.End.Store(f.end)
	s.Passive.Store(f.passive)
	url := s.URL
	if f.user != "" {
		url = strings.Replace(url, "ftp://", "ftp://"+f.user+":pw@", 1)
	}
	if f.path == "" {
		f.path = "/file.bin"
	}
	path, err := c.fetch(t, &b, url+f.path, t.TempDir())
	if err != nil {
		return fails, err.Error()
	}
	got, err := os.ReadFile(path)
	name := "file.bin"
	if f.file != "" {
		name = f.file
	}
	switch {
	case err != nil:
		return fails, err.Error()
	case !bytes.Equal(got, b.data()):
		return wrong, fmt.Sprintf("%d bytes, want %d", len(got), len(b.data()))
	case filepath.Base(path) != name:
		return renamed, filepath.Base(path)
	}
	return ok, ""
}

// Each client makes of each behaviour of an FTP server what the table says, and what aria2c
// or curl completes a worker completes, or the document has the reason.
func TestSources_FTPVerdicts(t *testing.T) {
	clients := append([]client{{"aria2c", plainAria2c}, {"curl", plainCurl}}, engines(t)[:1]...)
	rows := documentRows(t, 5)
	document, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "sources.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(document)
	t.Run("behaviours", func(t *testing.T) {
		for _, f := range ftpBehaviours() {
			want := strings.Fields("ok ok ok")
			if f.verdict != "" {
				want = strings.Fields(f.verdict)
			}
			if got := rows[f.name]; got != strings.Join(want, " ") {
				t.Errorf("docs/sources.md says of %q %q, not %q", f.name, got, want)
			}
			delete(rows, f.name)
			unlike := !complete(want[2]) && (complete(want[0]) || complete(want[1])) || outcome(want[2]) == wrong || outcome(want[2]) == renamed
			if unlike != (f.reason != "") || f.reason != "" && !strings.Contains(text, "\n| "+f.name+" | "+f.reason+" |\n") {
				t.Errorf("%q: the worker has %s, and its reason is %q, also in docs/sources.md", f.name, want[2], f.reason)
			}
			for i, c := range clients {
				t.Run(f.name+"/"+c.name, func(t *testing.T) {
					t.Parallel()
					f := f
					if got, why := c.tryFTP(t, &f); string(got) != want[i] {
						t.Errorf("%s: %q is %s (%s), the table says %s", c.name, f.name, got, why, want[i])
					}
				})
			}
		}
	})
	for name := range rows {
		t.Errorf("docs/sources.md has a row %q that no test covers", name)
	}
}
