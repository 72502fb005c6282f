package aria2rpc

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"os"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Secrets map secrets to clients. Only hashes are kept.
type Secrets struct {
	accounts []account
}

type account struct {
	hash   [sha256.Size]byte
	client string
}

// minSecret is the shortest secret, in bytes: it is sent over a network and can be
// guessed at.
const minSecret = 8

// NewSecrets makes a set with one secret.
func NewSecrets(client, secret string) *Secrets {
	return &Secrets{accounts: []account{{sha256.Sum256([]byte(secret)), client}}}
}

// ReadSecrets reads a file of lines "client:secret"; empty lines and those that begin
// with # are skipped. A client may have several secrets. An error names the line, and
// never shows a secret.
func ReadSecrets(path string) (*Secrets, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &Secrets{}
	seen := make(map[[sha256.Size]byte]int)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		client, secret, ok := strings.Cut(line, ":")
		hash := sha256.Sum256([]byte(secret))
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
		s.accounts = append(s.accounts, account{hash, client})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(s.accounts) == 0 {
		return nil, fmt.Errorf("%s: has no line client:secret", path)
	}
	return s, nil
}

// client returns whose secret it is, or "". It takes the same time whichever it is.
func (s *Secrets) client(secret string) string {
	hash := sha256.Sum256([]byte(secret))
	found := ""
	for i := range s.accounts {
		if subtle.ConstantTimeCompare(hash[:], s.accounts[i].hash[:]) == 1 {
			found = s.accounts[i].client
		}
	}
	return found
}
