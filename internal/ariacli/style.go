package ariacli

// style colours text for a terminal.
type style struct {
	coloured bool
}

// newStyle decides about colours: only on a terminal, unless the environment forces or
// forbids them.
func newStyle(getenv func(string) string, noColor, terminal bool) style {
	switch force := getenv("CLICOLOR_FORCE"); {
	case noColor, getenv("NO_COLOR") != "":
		return style{}
	case force != "" && force != "0":
		return style{coloured: true}
	}
	return style{coloured: terminal && getenv("TERM") != "dumb"}
}

// statusColours are the colours of statuses, of tasks and workers.
var statusColours = map[string]string{
	"completed": "32", "online": "32", "ok": "32",
	"downloading": "36", "queued": "36", "busy": "36",
	"paused": "33", "draining": "33", "pending": "33", "warning": "33",
	"failed": "31", "error": "31", "offline": "31",
	"canceled": "90", "removed": "90",
}

// status colours a status.
func (s style) status(text string) string {
	colour := statusColours[text]
	if !s.coloured || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
