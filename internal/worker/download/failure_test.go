package download

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Each exit code has its class.
func TestFailure_EachExitCodeHasItsClass(t *testing.T) {
	const r, p, w = model.ClassRetryable, model.ClassPermanent, model.ClassWorker
	for _, c := range []struct {
		code    int
		message string
		want    model.Class
	}{
		{1, "network", r}, {1, "Download aborted.", r}, {2, "", r}, {3, "", p}, {4, "", p}, {5, "", r}, {6, "", r},
		{7, "", w}, {8, "", r}, {9, "", w}, {10, "", r}, {11, "", r}, {12, "", r}, {13, "", p}, {14, "", w},
		{15, "", w}, {16, "", w}, {17, "", w}, {18, "", w}, {19, "", r}, {20, "", p},
		{16, "Failed to open the file x, cause: File name too long", p},
		{21, "", r}, {21, "The response status is not successful. status=530", p}, {21, "status=5301", r},
		{22, "status=400", p}, {22, "status=403", w}, {22, "status=408", r}, {22, "status=410", p},
		{22, "status=418", p}, {22, "status=425", r}, {22, "status=429", r}, {22, "status=451", p},
		{22, "status=500", r}, {22, "status=502", r}, {22, "status=503", r}, {22, "status=504", r},
		{22, "no status at all", r},
		{23, "", p}, {24, "", p}, {25, "", p}, {26, "", p}, {27, "", p}, {28, "", p}, {29, "", r}, {30, "", p},
		{1, "the TLS handshake with h failed: not signed by known authorities or invalid, issuer is not known", p},
		{1, "the TLS handshake with h failed: Error in the pull function.", r}, {6, "tls: failed to verify certificate: x509: expired", p},
		{6, "the TLS handshake with h failed: remote error: tls: bad certificate", r},
		{6, "the TLS handshake with h failed: tls: handshake failure", w}, {6, "the TLS handshake with h failed: tls: insufficient security level", w},
		{6, "the TLS handshake with h failed: tls: protocol version not supported", w}, {6, "the TLS handshake with h failed: read: connection reset by peer", r},
		{6, "the TLS handshake with h failed: x509: certificate relies on legacy Common Name field, use SANs instead", w},
		{6, "the TLS handshake with h failed: tls: failed to parse certificate from server: x509: negative serial number", w},
		{6, "h redirects to ftp, which needs a worker with aria2", w},
		{32, "", p}, {99, "of a later aria2", r},
	} {
		t.Run(fmt.Sprintf("%d %s", c.code, c.message), func(t *testing.T) {
			got := Failure(&model.Task{}, c.code, c.message)
			if got.Class != c.want || got.Code != c.code {
				t.Errorf("%+v, want %s", got, c.want)
			}
		})
	}
}

// Each error of a request has its code.
func TestCodeOf_EachRequestErrorHasItsCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{StatusError(404), CodeNotFound}, {StatusError(410), CodeNotFound}, {StatusError(401), CodeAuth},
		{StatusError(403), CodeHTTP}, {StatusError(416), CodeHTTP}, {StatusError(429), CodeHTTP}, {StatusError(503), CodeHTTP},
		{errRedirects, CodeRedirects}, {&url.Error{Op: "Get", URL: "http://u:p@h", Err: errRedirects}, CodeRedirects},
		{&netguard.RefusedError{}, CodeOption}, {fmt.Errorf("dial: %w", &netguard.RefusedError{}), CodeOption},
		{context.DeadlineExceeded, CodeTimeout}, {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, CodeTimeout},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}, CodeResolve},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, CodeNetwork}, {io.ErrUnexpectedEOF, CodeNetwork},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("%v: code %d, want %d", c.err, got, c.want)
		}
	}
}

// Some failures send the task to another worker only once.
func TestFailure_SomeMoveToAnotherWorkerOnce(t *testing.T) {
	for _, c := range []struct {
		before  *model.TaskError
		code    int
		message string
		want    model.Class
	}{
		{nil, 22, "status=403", model.ClassWorker},
		{&model.TaskError{Code: 22, Class: model.ClassWorker}, 22, "status=403", model.ClassPermanent},
		{&model.TaskError{Code: 22, Class: model.ClassRetryable}, 22, "status=403", model.ClassWorker},
		{&model.TaskError{Code: 7, Class: model.ClassWorker}, 7, "", model.ClassPermanent},
		{nil, 1, "SSH handshake failure: Unable to exchange encryption keys", model.ClassWorker},
		{
			&model.TaskError{Code: 1, Class: model.ClassWorker, Message: "SSH handshake failure: Unable to exchange encryption keys; …"},
			1, "SSH handshake failure: Unable to exchange encryption keys", model.ClassPermanent,
		},
		{&model.TaskError{Code: 1, Class: model.ClassWorker, Message: "rejected by w1"}, 1, "SSH handshake failure: Unable to exchange encryption keys", model.ClassWorker},
		{&model.TaskError{Code: 1, Class: model.ClassWorker}, 1, "SSH handshake failure: Failed getting banner", model.ClassRetryable},
		{&model.TaskError{Code: 9, Class: model.ClassWorker}, 9, "", model.ClassWorker},
	} {
		task := &model.Task{TaskState: model.TaskState{Error: c.before}}
		if got := Failure(task, c.code, c.message); got.Class != c.want {
			t.Errorf("after %+v code %d is %s, want %s", c.before, c.code, got.Class, c.want)
		}
	}
}

// Messages are clean and short.
func TestClean_BoundsAndRedactsMessages(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"failed: http://user:pass@host/x", "failed: http://xxxxx@host/x"},
		{"URI=ftp://u:p%40w@host/a,sftp://only@host/", "URI=ftp://xxxxx@host/a,sftp://xxxxx@host/"},
		{"http://host/path@2x.png", "http://host/path@2x.png"},
		{"a\r\nb\x00c", "a  b c"},
		{strings.Repeat("é", 400), strings.Repeat("é", 250)},
		{"bad \xff byte", "bad ? byte"},
	} {
		if got := Clean(c.in); got != c.want {
			t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := Clean(strings.Repeat("x", 10_000)); len(got) != maxMessage {
		t.Errorf("%d bytes", len(got))
	}
}

// Wipe removes everything inside the folder and nothing outside.
func TestWipe_RemovesNothingOutsideTheFolder(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	write(t, filepath.Join(outside, "kept"))
	write(t, filepath.Join(dir, "file"))
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "sub", "file"))
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := Wipe(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(outside, "kept")); err != nil {
		t.Error(err)
	}
}

// Only regular files inside the folder count.
func TestFiles_OnlyRegularFilesInsideCount(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	write(t, filepath.Join(outside, "secret"))
	write(t, filepath.Join(dir, "file"))
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"link", "folder/secret", "../" + filepath.Base(outside) + "/secret", outside + "/secret", ".", "missing", ""} {
		if files, _, err := Files(dir, []string{"file", bad}); err == nil {
			t.Errorf("%q is accepted: %v", bad, files)
		}
	}
	files, total, err := Files(dir, []string{"file"})
	if err != nil || total != 7 || len(files) != 1 || files[0] != (model.File{Path: "file", Length: 7}) {
		t.Errorf("%v, %d, %v", files, total, err)
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
}
