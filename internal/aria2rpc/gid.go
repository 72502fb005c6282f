package aria2rpc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const gidLength = 16

// noGID is no gid of a download: aria2 keeps it for the absence of one.
const noGID = "0000000000000000"

// isGID reports whether s is a whole gid: 16 lower-case hex digits.
func isGID(s string) bool { return len(s) == gidLength && isHex(s) }

func isHex(s string) bool { return strings.Trim(s, hexDigits) == "" && s != "" }

// gidOf returns the gid of a task: its id if that is a gid, else the beginning of a hash.
func gidOf(client, id string) string {
	if isGID(id) {
		return id
	}
	hash := sha256.Sum256([]byte(client + "\x00" + id))
	return hex.EncodeToString(hash[:gidLength/2])
}

// newGID makes the id of a new task, which is its gid.
func newGID() string {
	var b [gidLength / 2]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
