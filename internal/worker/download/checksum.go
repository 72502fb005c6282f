package download

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
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// ErrChecksum is wrapped by every [ChecksumError].
var ErrChecksum = errors.New("the file's checksum is not the one that was asked for")

// ChecksumError is the error for a file with another checksum.
type ChecksumError struct {
	Kind, Got, Want string
	Name            string // of the file, where there are several; "" otherwise
	Source          string // where the wanted checksum is from, such as "the task"
}

func (e *ChecksumError) Error() string {
	of := ""
	if e.Name != "" {
		of = fmt.Sprintf(" of %q", e.Name)
	}
	return fmt.Sprintf("%s%s is %s, %s says %s", e.Kind, of, e.Got, e.Source, e.Want)
}

// Unwrap returns [ErrChecksum].
func (e *ChecksumError) Unwrap() error { return ErrChecksum }

// ChecksumOf returns the checksum of a task for its finished file, "" without one.
func ChecksumOf(spec *model.TaskSpec) string {
	if spec.Checksum != "" {
		return spec.Checksum
	}
	return strings.Join(spec.Options["checksum"], "")
}

// Verify compares the content of r with a checksum such as "sha-256=…" of the source.
// The error is a [ChecksumError], an error of r, or that of ctx.
func Verify(ctx context.Context, r io.Reader, checksum, source string) error {
	kind, want, _ := strings.Cut(checksum, "=")
	want = strings.ToLower(want)
	h := newHash(kind)
	if h == nil {
		return &ChecksumError{Kind: kind, Got: "not known", Want: want, Source: source}
	}
	const bufferSize = 128 << 10
	buf := make([]byte, bufferSize)
	for ctx.Err() == nil {
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return &ChecksumError{Kind: kind, Got: got, Want: want, Source: source}
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
