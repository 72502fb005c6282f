package inputfile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// ID returns the id of the entry on a line. The same client, batch and line have the
// same id, so that a file that is submitted again submits nothing twice.
func ID(client, batch string, line int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", client, batch, line))
	return hex.EncodeToString(sum[:8])
}

// BatchOf returns the default batch of an input: a hash of all its bytes.
func BatchOf(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}
