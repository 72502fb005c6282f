// Package postgresbin finds the programs of an installed PostgreSQL and the account that may
// run them. Tests and benchmarks start their servers with both.
package postgresbin

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Find returns the path of a program of PostgreSQL, such as "initdb". Debian keeps most of
// them outside of PATH; of several versions there it returns the one whose path sorts last.
func Find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	paths, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(paths) == 0 {
		return "", fmt.Errorf("%s is neither on PATH nor in /usr/lib/postgresql: apt-get install postgresql", name)
	}
	return paths[len(paths)-1], nil
}

// Account returns the account for servers, since PostgreSQL refuses root: nil, which is the
// account of this process, unless that is root. It is an error if there is neither a user
// postgres nor a user nobody.
func Account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL refuses root, and there is no user postgres: apt-get install postgresql")
}
