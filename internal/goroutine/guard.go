package bus

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// maxStack bounds the stack of a panic in the log, in bytes.
const maxStack = 4 << 10

// guard calls do and reports whether it panicked, which is a bug and is logged. A
// goroutine that handles what comes from outside calls it: an unhandled panic there
// ends the process, and the same message comes again to the next one.
func guard(logger *slog.Logger, text string, do func(), args ...any) (panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			stack := string(debug.Stack())
			logger.Error(text, append(args, "error", fmt.Sprint(p), "stack", stack[:min(len(stack), maxStack)])...)
			panicked = true
		}
	}()
	do()
	return false
}
