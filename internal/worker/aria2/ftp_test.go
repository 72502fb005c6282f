package aria2

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A finished file is too short if the server lists more bytes, and the file has not grown since
// it was fetched.
func TestFTPLengths_IsShort(t *testing.T) {
	for name, c := range map[string]struct {
		listed, size  int64
		total, before int64
		short         bool
	}{
		"the server states nothing":              {listed: -1, size: -1, total: 100},
		"it lists the same":                      {listed: 100, size: -1, total: 100},
		"it lists less":                          {listed: 50, size: -1, total: 100},
		"it lists more, and has no SIZE":         {listed: 300, size: -1, total: 100, short: true},
		"it lists more, and SIZE is too small":   {listed: 300, size: 100, total: 100, short: true},
		"it lists more, and SIZE is zero":        {listed: 300, size: 0, total: 0, short: true},
		"it lists more, and so does SIZE by now": {listed: 300, size: 300, total: 100},
		"it lists nothing, and SIZE is more":     {listed: -1, size: 300, total: 100},
		"a second time short":                    {listed: 300, size: -1, total: 100, before: 300, short: true},
		"a second time, and it grows":            {listed: 400, size: -1, total: 300, before: 300},
		"a second time, and it was replaced":     {listed: 200, size: -1, total: 200, before: 300},
	} {
		if got := (ftpLengths{c.listed, c.size}).isShort(c.total, c.before); got != c.short {
			t.Errorf("%s: short is %v", name, got)
		}
	}
}

// A finished FTP file is whole if the reply to its transfer or a length proves that, and nothing
// contradicts.
func TestTransferFault_NeedsAProof(t *testing.T) {
	const total = 100
	for name, c := range map[string]struct {
		lengths ftpLengths
		seen    netguard.Traffic
		toEnd   bool
		several bool
		remote  bool
		empty   bool
		whole   bool
	}{
		"a success, and no length":               {lengths: ftpLengths{-1, -1}, seen: netguard.Traffic{Transfer: 226}, whole: true},
		"another success":                        {lengths: ftpLengths{-1, -1}, seen: netguard.Traffic{Transfer: 250}, whole: true},
		"no reply, and no length":                {lengths: ftpLengths{-1, -1}},
		"a failure, and no length":               {lengths: ftpLengths{-1, -1}, seen: netguard.Traffic{Transfer: 426}},
		"a failure, and MLST":                    {lengths: ftpLengths{total, -1}, seen: netguard.Traffic{Transfer: 426}, whole: true},
		"a failure, and SIZE":                    {lengths: ftpLengths{-1, total}, seen: netguard.Traffic{Transfer: 426}},
		"a failure, and SIZE, read to the end":   {lengths: ftpLengths{-1, total}, seen: netguard.Traffic{Transfer: 426}, toEnd: true, whole: true},
		"a failure of one of several":            {lengths: ftpLengths{-1, total}, seen: netguard.Traffic{Transfer: 426}, several: true, whole: true},
		"no reply, and SIZE":                     {lengths: ftpLengths{-1, total}, whole: true},
		"no reply, and another SIZE, to the end": {lengths: ftpLengths{-1, 7}, toEnd: true},
		"a success after more than SIZE":         {lengths: ftpLengths{-1, total}, seen: netguard.Traffic{Transfer: 226, Longest: total + 1}},
		"a success, and MLST states more":        {lengths: ftpLengths{total + 1, total}, seen: netguard.Traffic{Transfer: 226}},
		"an empty file":                          {lengths: ftpLengths{0, 0}, seen: netguard.Traffic{Transfer: 226}, empty: true},
		"an empty file, read to the end":         {lengths: ftpLengths{0, 0}, seen: netguard.Traffic{Transfer: 226}, empty: true, toEnd: true, whole: true},
		"an empty file, and no reply":            {lengths: ftpLengths{0, 0}, empty: true, toEnd: true},
		"an empty file without SIZE":             {lengths: ftpLengths{-1, -1}, seen: netguard.Traffic{Transfer: 226}, empty: true, whole: true},
		"no proxy":                               {lengths: ftpLengths{-1, -1}, remote: true, whole: true},
	} {
		dj := downloadtest.Job(t, "j", "ftp://host/file")
		if c.several {
			dj.Task.Options["max-connection-per-server"] = model.OptionValue{"2"}
		}
		length := int64(total)
		if c.empty {
			length = 0
		}
		one := &job{Job: dj, readsToEnd: c.toEnd}
		if why := one.transferFault(c.lengths, length, c.seen, !c.remote); (why == "") != c.whole {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// The reply to MLST states the length of a file.
func TestMLSTLength_ReadsFacts(t *testing.T) {
	for text, want := range map[string]int64{
		"it is\n Type=file;Size=12;Modify=20200101000000; f\nthat": 12,
		"it is\n size=12;type=FILE; f\nthat":                       12,
		"it is\n Size=12; f with spaces\nthat":                     12,
		"it is\n Type=dir;Size=4096; f\nthat":                      -1,
		"it is\n Type=file; f\nthat":                               -1,
		"it is\n Type=file;Size=many; f\nthat":                     -1,
		"it is\n Type=file;Size=-5; f\nthat":                       -1,
		"":                                                         -1, ";": -1, "; ;\n;=; ;": -1,
	} {
		if got := mlstLength(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// The reply to STAT states the length of a file if it is one line in the form of "ls -l".
func TestSTATLength_ReadsOneFile(t *testing.T) {
	const file = "-rw-r--r--   1 ftp      ftp      12 Jan 01  2020 f"
	for text, want := range map[string]int64{
		"it is\n" + file + "\nthat": 12,
		file:                        12,
		"it is\n" + file + "\n" + file + "2\nthat":                    -1, // a folder of that name
		"it is\nlrwxrwxrwx 1 ftp ftp 12 Jan 01 2020 f\nthat":          -1, // the length of a link is that of its target's name
		"it is\ndrwxr-xr-x 1 ftp ftp 4096 Jan 01 2020 f\nthat":        -1,
		"it is\n-rw-r--r-- 1 ftp ftp 12 Jan 01 2020 other\nthat":      -1,
		"it is\n-rw-r--r-- 1 ftp ftp many Jan 01 2020 f\nthat":        -1,
		"it is\n-rw-r--r-- 12 Jan 01 2020 f\nthat":                    -1,
		"Connected to 127.0.0.1\nLogged in as ftp\nTYPE: ASCII\nthat": -1,
		"": -1, "-": -1,
	} {
		if got := statLength(text, "f"); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// An FTP server is asked with the user and password of the URL, or else of the task. A server
// that refuses the session states nothing, and its error has no password.
func TestAskFTP_LogsInAsAria2cDoes(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(1234)
	s := downloadtest.ServeFTP(t, data, "me", "pa55word")
	ask := func(url, user, password string) (ftpLengths, error) {
		u, err := download.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		return askFTP(t.Context(), downloadtest.Loopback(t).Dialer(time.Minute), u, []string{user}, []string{password})
	}
	own := strings.Replace(s.URL, "ftp://", "ftp://me:pa55word@", 1)
	for name, c := range map[string]struct{ url, user, password string }{
		"of the task": {s.URL + "/file", "me", "pa55word"}, "of the URL": {own + "/file", "", ""},
		"of both": {own + "/one/two/file", "she", "wrong"}, "an absolute path": {own + "/%2Fone/file", "", ""},
	} {
		if got, err := ask(c.url, c.user, c.password); err != nil || got != (ftpLengths{1234, 1234}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	got, err := ask(s.URL+"/file", "me", "wrong")
	if got != (ftpLengths{-1, -1}) || !errors.Is(err, ftpRefusal(530)) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %+v, %v", got, err)
	}
}

// A file that each transfer cuts off fails with the reason. The next attempt completes.
func TestEngine_ShortFTPFileFails(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(300_000)
	s := downloadtest.ServeFTPWith(t, data, "", "", func(verb, _ string) string {
		if verb == "SIZE" {
			return "502 not here"
		}
		return ""
	})
	s.Drops.Store(1000)
	e := newAria2(t, t.TempDir())
	downloadtest.Add(t, e, downloadtest.Job(t, "short", s.URL+"/file.bin"))
	err := downloadtest.MustFail(t, e, "short")
	if err.Code != download.CodeNoResume || err.Class != model.ClassRetryable || !strings.Contains(err.Message, "300000 bytes, and sent 100000") {
		t.Errorf("%+v", err)
	}
	s.Drops.Store(0)
	downloadtest.Remove(t, e, "short")
	job := downloadtest.Job(t, "short", s.URL+"/file.bin")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
}

// The error of an FTP server that aria2c gives up without a reason names the last reply.
func TestEngine_FTPErrorNamesLastReply(t *testing.T) {
	t.Parallel()
	s := downloadtest.ServeFTPWith(t, downloadtest.Data(1000), "", "", func(verb, _ string) string {
		if verb == "RETR" {
			return "421-too many\r\n226 users\r\n421 come later"
		}
		return ""
	})
	e := newAria2(t, t.TempDir())
	downloadtest.Add(t, e, downloadtest.Job(t, "odd", s.URL+"/file.bin", "max-tries", "1"))
	err := downloadtest.MustFail(t, e, "odd")
	if err.Message != "aria2c gives up after the reply 421 of the FTP server 127.0.0.1" || err.Class != model.ClassRetryable || err.Host != "127.0.0.1" {
		t.Errorf("%+v", err)
	}
}

// A file is whole also if it begins as a server's greeting does and SIZE is too small.
func TestEngine_FTPFileThatBeginsAsAGreeting(t *testing.T) {
	t.Parallel()
	e := newAria2(t, t.TempDir())
	for id, begin := range map[string]string{"other": "abc ", "greeting": "220 ", "refusal": "421 "} {
		data := downloadtest.Data(200_000)
		copy(data, begin)
		s := downloadtest.ServeFTPWith(t, data, "", "", func(verb, _ string) string {
			switch verb {
			case "SIZE":
				return "213 1000"
			case "MLST", "STAT":
				return "502 not here"
			}
			return ""
		})
		job := downloadtest.Job(t, id, s.URL+"/file.bin")
		downloadtest.Add(t, e, job)
		downloadtest.MustComplete(t, e, job, data)
	}
}

// Replies without end, and a server that is silent, cost a bounded number of bytes and time.
func TestAskFTP_IsBounded(t *testing.T) {
	t.Parallel()
	for name, greet := range map[string]func(conn net.Conn){
		"lines without end": func(conn net.Conn) {
			for _, err := io.WriteString(conn, "220-one\r\n"); err == nil; _, err = io.WriteString(conn, "220-more\r\n") { // until the client leaves
				continue
			}
		},
		"a line without end": func(conn net.Conn) {
			for _, err := io.WriteString(conn, "220 "); err == nil; _, err = io.WriteString(conn, strings.Repeat("x", 1000)) { // until the client leaves
				continue
			}
		},
		"silence": func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
		"no code": func(conn net.Conn) { _, _ = io.WriteString(conn, "hello\r\n") },
	} {
		address := testbed.Listen(t, "127.0.0.1:0", func(conn net.Conn) {
			defer conn.Close()
			greet(conn)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		got, err := askFTP(ctx, downloadtest.Loopback(t).Dialer(time.Minute), &url.URL{Scheme: "ftp", Host: address, Path: "/file"}, nil, nil)
		cancel()
		if err == nil || got != (ftpLengths{-1, -1}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A length is never negative, except that -1 stands for none.
func FuzzFTPLengths(f *testing.F) {
	f.Add("it is\n Type=file;Size=12;Modify=20200101000000; f\nthat", "f")
	f.Add("it is\n-rw-r--r--   1 ftp      ftp      12 Jan 01  2020 f\nthat", "f")
	f.Fuzz(func(t *testing.T, text, name string) {
		if n := min(mlstLength(text), statLength(text, name)); n < -1 {
			t.Errorf("%q: %d", text, n)
		}
	})
}
