package aria2

import (
	"net"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// addProxy makes a job's connections go through the guard, with the job's own name.
// Downloads that follow from the job inherit it. A redirect that began after the probe
// gets no connection, because aria2c would send the credentials.
func (e *Engine) addProxy(add call, j *job) {
	options := add.params[len(add.params)-1].(map[string]any)
	var only []string
	if len(j.allowedSources) > 0 && j.hasCredentials() && !j.withoutCredentials && overHTTP(j.allowedSources[0]) && e.isProxied() {
		// A torrent that follows is another submit, without this limit.
		only = originAddresses(j.allowedSources[0])
	}
	options["all-proxy"] = e.proxy.Admit(j.gid, only...)
	if j.readsToEnd {
		e.proxy.HideSize(j.gid)
	}
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
