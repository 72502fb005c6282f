package direct

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"io"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

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
	if got := hex.EncodeToString(h.Sum(nil)); got != strings.ToLower(want) {
		return &checksumError{kind, got, strings.ToLower(want)}
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
