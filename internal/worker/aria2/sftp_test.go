package aria2

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// newSigner makes a host key: of type RSA for these signature algorithms, or Ed25519
// without any.
func newSigner(t *testing.T, algorithms ...string) ssh.Signer {
	t.Helper()
	var key any
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if len(algorithms) > 0 {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err == nil && len(algorithms) > 0 {
		signer, err = ssh.NewSignerWithAlgorithms(signer.(ssh.AlgorithmSigner), algorithms)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// TestSFTP_UnsupportedLoginFailsWithAdvice checks that a server that permits other
// methods of authentication than passwords fails the task for good, and that the error
// says what to change.
func TestSFTP_UnsupportedLoginFailsWithAdvice(t *testing.T) {
	t.Parallel()
	denied := errors.New("denied")
	e := newAria2(t, t.TempDir())
	for id, config := range map[string]*ssh.ServerConfig{
		"keyboard-interactive": {KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err == nil && len(answers) == 1 && answers[0] == "pa55word" {
				return &ssh.Permissions{}, nil
			}
			return nil, denied
		}},
		"public-key": {PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, denied }},
	} {
		url := downloadtest.ServeSFTPWith(t, newSigner(t), config)
		downloadtest.Add(t, e, downloadtest.Job(t, id, url+"/etc/hostname", "ftp-user", "me", "ftp-passwd", "pa55word"))
		err := downloadtest.MustFail(t, e, id)
		if err.Code != 1 || err.Class != model.ClassPermanent || !strings.Contains(err.Message, "permit password authentication") {
			t.Errorf("%s: %+v", id, err)
		}
	}
}

// TestSFTP_UnsupportedAlgorithmsFailWithAdvice checks that a server without a common
// algorithm fails on a second worker for good, and that the error says what to change. A
// libssh2 that knows rsa-sha2 completes the first case.
func TestSFTP_UnsupportedAlgorithmsFailWithAdvice(t *testing.T) {
	t.Parallel()
	password := func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return &ssh.Permissions{}, nil }
	e := newAria2(t, t.TempDir())
	for id, server := range map[string]struct {
		key    ssh.Signer
		config ssh.Config
	}{
		"rsa-sha2": {newSigner(t, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256), ssh.Config{}},
		"exchange": {newSigner(t), ssh.Config{KeyExchanges: []string{ssh.KeyExchangeMLKEM768X25519}}},
		"cipher":   {newSigner(t), ssh.Config{Ciphers: []string{ssh.CipherChaCha20Poly1305}}},
	} {
		url := downloadtest.ServeSFTPWith(t, server.key, &ssh.ServerConfig{Config: server.config, PasswordCallback: password})
		job := downloadtest.Job(t, id, url+"/etc/hostname", "ftp-user", "me", "ftp-passwd", "pa55word")
		for _, want := range []model.Class{model.ClassWorker, model.ClassPermanent} {
			downloadtest.Add(t, e, job)
			state := downloadtest.Await(t, e, id, downloadtest.Ended)
			if state.Err == nil {
				t.Logf("%s: the libssh2 of this aria2c knows it", id)
				break
			}
			if state.Err.Code != 1 || state.Err.Class != want || !strings.Contains(state.Err.Message, "have the server offer") {
				t.Errorf("%s: %+v, want the class %s", id, state.Err, want)
			}
			downloadtest.Remove(t, e, id)
			task := *job.Task
			task.Error = state.Err
			job.Task = &task
		}
	}
}
