package bus

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
)

// writeFile writes a file that only its owner can read and returns its path.
func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// userSeed makes an nkey of a user: the file of its seed, and its public key.
func userSeed(t *testing.T) (file, public string, seed []byte) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	if seed, err = pair.Seed(); err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "user.nk", seed), public, seed
}

// TestConnect_OwnCredentialsReplaceThoseOfContext: a context fills in what is
// empty. Credentials are one value: whichever kind is given, none of the context's
// is sent beside it. The last case is the other direction: an address alone leaves
// the credentials of the context in force.
func TestConnect_OwnCredentialsReplaceThoseOfContext(t *testing.T) {
	seedFile, public, _ := userSeed(t)
	otherFile, otherPublic, otherSeed := userSeed(t)
	url := testnats.Start(t, &server.Options{
		Users: []*server.User{{Username: "alice", Password: "pw"}},
		Nkeys: []*server.NkeyUser{{Nkey: public}},
	}).ClientURL()
	claims := jwt.NewUserClaims(otherPublic)
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	token, err := claims.Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(token, otherSeed)
	if err != nil {
		t.Fatal(err)
	}
	creds := writeFile(t, "other.creds", text)
	context := func(settings map[string]string) string {
		settings["url"] = "nats://127.0.0.1:1"
		b, err := json.Marshal(settings)
		if err != nil {
			t.Fatal(err)
		}
		return writeFile(t, "context.json", b)
	}
	withUser := strings.Replace(url, "nats://", "nats://alice:pw@", 1)
	for name, o := range map[string]Options{
		"an nkey beside a context with creds":           {URL: url, NKey: seedFile, Context: context(map[string]string{"creds": creds})},
		"an nkey beside a context with another nkey":    {URL: url, NKey: seedFile, Context: context(map[string]string{"nkey": otherFile})},
		"an nkey beside a context with a user":          {URL: url, NKey: seedFile, Context: context(map[string]string{"user": "bob", "password": "x"})},
		"an nkey beside a context with a token":         {URL: url, NKey: seedFile, Context: context(map[string]string{"token": "bob"})},
		"a user beside a context with an nkey":          {URL: url, User: "alice", Password: "pw", Context: context(map[string]string{"nkey": otherFile})},
		"a user beside a context with creds":            {URL: url, User: "alice", Password: "pw", Context: context(map[string]string{"creds": creds})},
		"a user beside a context with another":          {URL: url, User: "alice", Password: "pw", Context: context(map[string]string{"user": "bob", "password": "x"})},
		"a user in the URL beside a context with nkey":  {URL: withUser, Context: context(map[string]string{"nkey": otherFile})},
		"a user in the URL beside a context with creds": {URL: withUser, Context: context(map[string]string{"creds": creds})},
		"an address beside a context with an nkey":      {URL: url, Context: context(map[string]string{"nkey": seedFile})},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := Connect(testbed.Context(t), o)
			if err != nil {
				t.Fatal(err)
			}
			nc.Close()
		})
	}
}
