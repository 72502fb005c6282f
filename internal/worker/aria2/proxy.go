package aria2

import (
	"net"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// addProxy has a job's connections made by the guard, in the job's name. What
// follows from the job inherits it. A redirect that was not there when the source was
// asked where the file is gets no connection, for aria2c would take along what the
// task confides; but where a torrent may follow, its trackers are elsewhere.
func (e *Engine) addProxy(add call, j *job) {
	options := add.params[len(add.params)-1].(map[string]any)
	var only []string
	if len(j.allowedSources) > 0 && !j.withoutCredentials && overHTTP(j.allowedSources[0]) && !e.cfg.AllowBT {
		only = originAddresses(j.allowedSources[0])
	}
	options["all-proxy"] = e.proxy.Admit(j.gid, only...)
}

// originAddresses is where the server of a source is, for a proxy: also with HTTPS where
// it may lead there, as [download.AtHome] has it.
func originAddresses(source string) []string {
	u, err := download.ParseURL(source)
	if err != nil {
		return []string{source} // which is no address
	}
	host, port := u.Hostname(), download.Port(u)
	all := []string{net.JoinHostPort(host, port)}
	if u.Scheme == "http" && port == "80" {
		all = append(all, net.JoinHostPort(host, "443"))
	}
	return all
}
