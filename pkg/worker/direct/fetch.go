package direct

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/worker/download"
)

const (
	maxRedirects = 10
	bufferSize   = 128 << 10
)

// newTransport makes connections for one job.
func newTransport(connectTimeout time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // as aria2c here: the environment reroutes nothing
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 1 << 20,
		MaxIdleConnsPerHost:    1,
	}
}

// checkRedirect bounds redirects and keeps what the task sends to its own server:
// net/http drops Authorization and Cookie only where the domain is another one.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errRedirects
	}
	first := via[0].URL
	if req.URL.Host == first.Host && (req.URL.Scheme == first.Scheme || req.URL.Scheme == "https") {
		return nil
	}
	for name := range req.Header {
		switch name {
		case "User-Agent", "Accept", "Accept-Language", "Accept-Encoding", "Range", "If-Range":
		default:
			req.Header.Del(name)
		}
	}
	return nil
}

func addHeader(h http.Header, line string) {
	name, value, _ := strings.Cut(line, ":")
	h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
}

// fetch brings the part up to its end from one source, or as far as it goes.
func (j *job) fetch(ctx context.Context, f *folder, source string) error {
	j.at(f.size, f.total())
	if f.meta != nil && f.meta.Length == f.size {
		return nil
	}
	// The watchdog: whoever sends nothing for the timeout is left.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(j.timeout, func() { cancel(errStalled) })
	defer watchdog.Stop()

	req, err := j.newRequest(ctx, source)
	if err != nil {
		return err
	}
	resuming := f.resumable(source, j.checksum != "")
	if resuming {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(f.size, 10)+"-")
		if v := f.meta.validator(); v != "" {
			req.Header.Set("If-Range", v)
		}
	}
	resp, err := j.client.Do(req)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	switch {
	case resuming && resp.StatusCode == http.StatusPartialContent && f.meta.continues(resp, f.size):
	case resuming && (resp.StatusCode == http.StatusPartialContent || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable):
		if err := f.wipe(); err != nil {
			return err
		}
		return errChanged
	case resp.StatusCode == http.StatusOK:
		if err := f.begin(newMeta(j.out, source, resp)); err != nil {
			return err
		}
	default:
		return statusError(resp.StatusCode)
	}
	j.at(f.size, f.total())
	return cause(ctx, j.copy(ctx, f, resp.Body, watchdog))
}

func (j *job) newRequest(ctx context.Context, source string) (*http.Request, error) {
	u, err := url.Parse(source)
	if err != nil {
		return nil, errors.New("the URL cannot be read")
	}
	user, password := j.user, j.password
	if u.User != nil && user == "" {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	u.User = nil // in the header instead, so that it stays with this host
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("the URL cannot be requested")
	}
	for name, values := range j.header {
		req.Header[name] = append([]string(nil), values...)
	}
	if user != "" && req.Header.Get("Authorization") == "" {
		req.SetBasicAuth(user, password)
	}
	req.Header.Set("Accept-Encoding", "identity")
	return req, nil
}

// copy moves the body into the part, not faster than the limit.
func (j *job) copy(ctx context.Context, f *folder, body io.Reader, watchdog *time.Timer) error {
	buf := make([]byte, bufferSize)
	pace := pace{limit: j.limit}
	for {
		n, err := body.Read(buf[:pace.share(len(buf))])
		if n > 0 {
			if err := f.write(buf[:n]); err != nil {
				return err
			}
			j.received(n)
			if wait := pace.wait(time.Now(), n); wait > 0 {
				watchdog.Stop() // it is we who wait now
				if !pause(ctx, wait) {
					return ctx.Err()
				}
			}
			watchdog.Reset(j.timeout)
		}
		switch {
		case err == io.EOF:
			if f.meta.Length >= 0 && f.size != f.meta.Length {
				return fmt.Errorf("the server sent %d of %d bytes: %w", f.size, f.meta.Length, io.ErrUnexpectedEOF)
			}
			return nil
		case err != nil:
			return err
		}
	}
}

// cause gives the reason for which ctx ended instead of "context canceled".
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !isLocal(err) {
		return context.Cause(ctx)
	}
	return err
}

// verify compares the part with the checksum that was asked for, if one was.
func (j *job) verify(ctx context.Context, f *folder) error {
	kind, want, ok := strings.Cut(j.checksum, "=")
	if !ok {
		return nil
	}
	h := newHash(kind)
	if h == nil {
		return errChecksum
	}
	part, err := f.root.Open(f.meta.Name + partSuffix)
	if err != nil {
		return local(download.CodeFileIO, err)
	}
	defer part.Close()
	buf := make([]byte, bufferSize)
	for ctx.Err() == nil {
		n, err := part.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return local(download.CodeFileIO, err)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if hex.EncodeToString(h.Sum(nil)) != strings.ToLower(want) {
		return errChecksum
	}
	return nil
}

func newHash(kind string) hash.Hash {
	switch kind {
	case "md5":
		return md5.New()
	case "sha-1":
		return sha1.New()
	case "sha-224":
		return sha256.New224()
	case "sha-256":
		return sha256.New()
	case "sha-384":
		return sha512.New384()
	case "sha-512":
		return sha512.New()
	}
	return nil
}
