package suite

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// proxyName is the name of the proxy, which Chromium resolves to this machine.
const proxyName = "aria.example"

// users are those of the secured dispatcher; the password of each is its name.
var users = map[string]string{"olga": "operator", "otto": "observer", "shop": "client=shop"}

// startSecured starts a dispatcher with TLS and users below the path /aria, one worker,
// and nginx in front of it with deploy/nginx/aria.conf. It returns the variables for
// main.mjs.
func startSecured(t *testing.T) []string {
	t.Helper()
	nginx, dir, address := "/usr/sbin/nginx", t.TempDir(), freeport.Address(t)
	if _, err := os.Stat(nginx); err != nil { // Debian's is there, which users have not on their PATH
		nginx = testbed.RequireBinary(t, "nginx")
	}
	cert, key := selfSigned(t, dir)
	var accounts, passwords strings.Builder
	for name, role := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(name), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		accounts.WriteString(name + ":" + string(hash) + ":" + role + "\n")
		passwords.WriteString(name + ":{PLAIN}" + name + "\n")
	}
	s := startServer(t, "https://"+address+"/aria/",
		"DISPATCHER_HTTP_BASE_PATH=/aria", "DISPATCHER_HTTP_CERT="+cert, "DISPATCHER_HTTP_KEY="+key, "DISPATCHER_HTTP_HOSTS="+proxyName,
		"DISPATCHER_HTTP_USERS_FILE="+write(t, dir, "users", accounts.String()),
		"DISPATCHER_HTTP_TRUSTED_HEADER=X-Remote-User", "DISPATCHER_HTTP_TRUSTED_PROXIES=127.0.0.1/32")
	s.startWorker(t, "node-three", "three")
	nc := s.connect(t)
	publishDeadLetters(t, nc, "many", 101)
	for n := range 100 { // more than a page; they are offline soon
		beat := model.Heartbeat{WorkerID: fmt.Sprintf("idle-%03d", n), Instance: "idle", Epoch: 1, State: model.StateReady}
		if err := request(t.Context(), nc, "aria.v1.req.worker."+beat.WorkerID+".heartbeat", &beat, nil); err != nil {
			t.Fatal(err)
		}
	}

	front := freeport.Address(t)
	_, port, err := net.SplitHostPort(front)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../../deploy/nginx/aria.conf")
	if err != nil {
		t.Fatal(err)
	}
	server := strings.NewReplacer(
		"listen 443", "listen "+front, "/etc/ssl/aria.pem", cert, "/etc/ssl/aria.key", key,
		"/etc/nginx/aria.htpasswd", write(t, dir, "passwords", passwords.String()), "http://127.0.0.1:8080", "https://"+address,
	).Replace(string(text))
	user := "" // its workers must read the passwords
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	conf := write(t, dir, "nginx.conf", user+"daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"+
		"client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\nuwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n"+server+"}\n")
	testbed.Start(t, exec.Command(nginx, "-p", dir, "-c", conf, "-e", "stderr"))
	testbed.Eventually(t, "nginx listens", func() bool {
		conn, err := net.DialTimeout("tcp", front, time.Second)
		return err == nil && conn.Close() == nil
	})
	return []string{"SUITE_TLS=" + s.web, "SUITE_PROXY=https://" + proxyName + ":" + port + "/aria/"}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// selfSigned writes a certificate for this machine and its key.
func selfSigned(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: proxyName}, DNSNames: []string{proxyName, "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, bytes []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}))
	}
	return write(t, dir, "cert.pem", block("CERTIFICATE", public)), write(t, dir, "key.pem", block("PRIVATE KEY", secret))
}
