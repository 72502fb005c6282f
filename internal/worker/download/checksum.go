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

// Checksum compares bytes with a checksum. Create it with [NewChecksum].
type Checksum struct {
	kind, want string
	hash       hash.Hash
}

// NewChecksum returns nil if the kind of a checksum such as "sha-256=…" is not known.
func NewChecksum(checksum string) *Checksum {
	kind, want, _ := strings.Cut(checksum, "=")
	if h := newHash(kind); h != nil {
		return &Checksum{kind, strings.ToLower(want), h}
	}
	return nil
}

// Write adds bytes.
func (c *Checksum) Write(p []byte) { c.hash.Write(p) }

// Check returns a [ChecksumError] unless all bytes so far have the checksum of the source.
func (c *Checksum) Check(source string) error {
	if got := hex.EncodeToString(c.hash.Sum(nil)); got != c.want {
		return &ChecksumError{Kind: c.kind, Got: got, Want: c.want, Source: source}
	}
	return nil
}

// Verify compares the content of r with a checksum such as "sha-256=…" of the source.
// The error is a [ChecksumError], an error of r, or that of ctx.
func Verify(ctx context.Context, r io.Reader, checksum, source string) error {
	c := NewChecksum(checksum)
	if c == nil {
		kind, want, _ := strings.Cut(checksum, "=")
		return &ChecksumError{Kind: kind, Got: "not known", Want: strings.ToLower(want), Source: source}
	}
	const bufferSize = 128 << 10
	buf := make([]byte, bufferSize)
	for ctx.Err() == nil {
		n, err := r.Read(buf)
		c.Write(buf[:n])
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
	return c.Check(source)
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
