package aria2rpc

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Secrets map secrets to clients. Only hashes are kept. They are found by a hash with a
// random key, so that the time of a look-up says nothing about a secret.
type Secrets struct {
	key     [sha256.Size]byte
	clients map[[sha256.Size]byte]string
}

func newSecrets() *Secrets {
	s := &Secrets{clients: make(map[[sha256.Size]byte]string)}
	rand.Read(s.key[:]) // never fails
	return s
}

func (s *Secrets) hash(secret string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write([]byte(secret))
	mac.Sum(sum[:0])
	return sum
}

// minSecret is the shortest secret, in bytes: it is sent over a network and can be
// guessed at.
const minSecret = 8

// ReadSecrets reads a file of lines "client:secret"; empty lines and those that begin
// with # are skipped. A client may have several secrets. An error names the line, and
// never shows a secret.
func ReadSecrets(path string) (*Secrets, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := newSecrets()
	seen := make(map[[sha256.Size]byte]int)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		client, secret, ok := strings.Cut(line, ":")
		hash := s.hash(secret)
		switch {
		case !ok:
			return nil, fmt.Errorf("%s:%d: a line is client:secret", path, n)
		case !model.ValidName(client):
			return nil, fmt.Errorf("%s:%d: %w", path, n, model.CheckName("client", client))
		case len(secret) < minSecret:
			return nil, fmt.Errorf("%s:%d: the secret of %s has %d characters; at least %d are needed", path, n, client, len(secret), minSecret)
		case seen[hash] > 0:
			return nil, fmt.Errorf("%s:%d: the secret of %s stands in line %d already; a secret names one client", path, n, client, seen[hash])
		}
		seen[hash] = n
		s.clients[hash] = client
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(s.clients) == 0 {
		return nil, fmt.Errorf("%s: has no line client:secret", path)
	}
	return s, nil
}

// client returns whose secret it is, or "".
func (s *Secrets) client(secret string) string { return s.clients[s.hash(secret)] }
