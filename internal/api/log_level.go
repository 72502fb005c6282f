package api

import (
	"log/slog"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// levelNames are the levels that admin.log_level knows, as in the configuration.
var levelNames = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// levelBody is request and answer of admin.log_level.
type levelBody struct {
	Level string `json:"level,omitempty"`
}

// setLogLevel changes the level of this dispatcher's log until its end, or returns the
// level. It does not use the backend, so that it works while the backend fails.
func (c *call) setLogLevel() {
	var body levelBody
	if err := wire.DecodeOptional(c.data, &body); err != nil {
		c.reply(refuse(err))
		return
	}
	level, name := c.service.logLevel, strings.ToLower(body.Level)
	if level == nil {
		c.reply(refuse(model.Errorf(model.CodeConflict, "log_level: the log of this dispatcher has a fixed level")))
		return
	}
	if name != "" {
		next, ok := levelNames[name]
		if !ok {
			c.reply(refuse(model.Errorf(model.CodeInvalid, "level: %.40q is not allowed; use debug, info, warn or error", body.Level)))
			return
		}
		if before := level.Level(); before != next {
			level.Set(next)
			// At any level: a reader of the log must know which messages it lacks.
			c.service.logger.Error("the log level was changed", "level", name, "before", strings.ToLower(before.String()))
		}
	}
	c.reply(answer(levelBody{Level: strings.ToLower(level.Level().String())}))
}
