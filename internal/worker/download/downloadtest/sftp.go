package downloadtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// ServeSFTP serves the files of this machine read-only over SSH, to one user with a
// password, until the test ends. It returns sftp://HOST:PORT; the path of a URL is
// absolute.
func ServeSFTP(t *testing.T, user, password string) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
		if c.User() == user && string(p) == password {
			return &ssh.Permissions{}, nil
		}
		return nil, errors.New("no")
	}}
	return ServeSFTPWith(t, key, config)
}

// ServeSFTPWith is [ServeSFTP] with a host key and a configuration of the caller. The
// host key is a [crypto.Signer] or an [ssh.Signer].
func ServeSFTPWith(t *testing.T, hostKey any, config *ssh.ServerConfig) string {
	t.Helper()
	signer, ok := hostKey.(ssh.Signer)
	if !ok {
		var err error
		if signer, err = ssh.NewSignerFromKey(hostKey); err != nil {
			t.Fatal(err)
		}
	}
	config.AddHostKey(signer)
	return "sftp://" + testbed.Listen(t, "127.0.0.1:0", func(c net.Conn) { serveSSH(c, config) })
}

func serveSSH(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return // a wrong password, or a client that left
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem" && string(r.Payload[4:]) == "sftp", nil) // the client may be gone
			}
		}()
		server, err := sftp.NewServer(channel, sftp.ReadOnly())
		if err != nil {
			return
		}
		go func() {
			_ = server.Serve() // ends with the client
			_ = channel.Close()
		}()
	}
}
