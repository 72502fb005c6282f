package aria2

import (
	"errors"
	"net"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/worker/guard"
)

// through has a job's connections made by the guard, in the job's name. What
// follows from the job inherits it.
func (e *Engine) through(add call, j *job) {
	options := add.params[len(add.params)-1].(map[string]any)
	options["all-proxy"] = e.proxy.Admit(j.gid)
}

// explain gives the reason for which the guard made no connection; aria2c knows
// only that it did not.
func (e *Engine) explain(j *job, code int, message string) (int, string) {
	err := e.proxy.Trouble(j.gid)
	if err == nil || !strings.Contains(message, "Proxy connection failed") {
		return code, message
	}
	var dns *net.DNSError
	var netErr net.Error
	switch {
	case errors.As(err, new(*guard.RefusedError)):
		code = download.CodeOption
	case errors.As(err, &dns):
		code = download.CodeResolve
	case errors.As(err, &netErr) && netErr.Timeout():
		code = download.CodeTimeout
	default:
		code = download.CodeNetwork
	}
	return code, err.Error()
}
