package aria2

import (
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/worker/download"
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
	return download.CodeOf(err), err.Error()
}
