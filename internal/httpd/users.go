package httpd

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// maxCost bounds bcrypt's cost of a user: each step doubles the time of a login.
const maxCost = 14

// user is a line of the users file.
type user struct {
	hash []byte
	identity
}

// readUsers reads lines name:bcrypt:role. An error names the line and shows no hash.
func readUsers(path string) (map[string]user, error) {
	users := make(map[string]user)
	err := eachLine(path, func(name, hash string, id identity) error {
		cost, err := bcrypt.Cost([]byte(hash))
		switch {
		case err != nil:
			return fmt.Errorf("the password of %s is no bcrypt hash; htpasswd -nB makes one", name)
		case cost > maxCost:
			return fmt.Errorf("the bcrypt cost of %s is %d; at most %d is taken", name, cost, maxCost)
		}
		if _, taken := users[name]; taken {
			return fmt.Errorf("the user %s stands there twice", name)
		}
		id.user = name
		users[name] = user{[]byte(hash), id}
		return nil
	})
	return users, err
}

// readTokens reads lines name:sha256-hex:role.
func readTokens(path string) (map[[sha256.Size]byte]identity, error) {
	tokens := make(map[[sha256.Size]byte]identity)
	err := eachLine(path, func(name, text string, id identity) error {
		var hash [sha256.Size]byte
		if n, err := hex.Decode(hash[:], []byte(strings.ToLower(text))); len(text) != 2*len(hash) || err != nil || n != len(hash) {
			return fmt.Errorf("the token of %s is no SHA-256 in hexadecimal digits; printf %%s TOKEN | sha256sum makes one", name)
		}
		if _, taken := tokens[hash]; taken {
			return fmt.Errorf("the token of %s stands there twice", name)
		}
		id.user = name
		tokens[hash] = id
		return nil
	})
	return tokens, err
}

// eachLine calls add for each line name:secret:role of a file. The secret may have
// colons.
func eachLine(path string, add func(name, secret string, id identity) error) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	found := false
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, ok := strings.Cut(line, ":")
		at := strings.LastIndexByte(rest, ':')
		if !ok || name == "" || at < 0 {
			return fmt.Errorf("%s:%d: a line is name:secret:role", path, n)
		}
		id, err := parseRole(rest[at+1:])
		if err == nil {
			err = add(name, rest[:at], id)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		found = true
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !found {
		return fmt.Errorf("%s: has no line name:secret:role", path)
	}
	return nil
}
