package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Terminal is a program on a terminal of tmux, which shows what a person would see.
type Terminal struct {
	t      testing.TB
	tmux   string
	socket string
	status string // file with the exit status
}

// recordStatus runs a program and writes its exit status to a file. tmux 3.3 does not
// always notice that a program has ended. The empty line is the one that tmux scrolls away
// when it does.
const recordStatus = `echo; trap : INT; file=$1; shift; "$@"; echo $? >"$file.new"; mv "$file.new" "$file"`

// StartTerminal starts a program on a terminal of that size, in dir, with these
// variables added to a small environment. It is killed at the end of the test, and if
// the test failed the screen is shown.
func StartTerminal(t testing.TB, columns, rows int, dir string, env []string, program string, args ...string) *Terminal {
	t.Helper()
	folder, err := os.MkdirTemp("", "tmux-") //nolint:usetesting // its path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	term := &Terminal{t: t, tmux: RequireBinary(t, "tmux"), socket: filepath.Join(folder, "s"), status: filepath.Join(folder, "status")}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the screen of %s:\n%s", filepath.Base(program), term.Text())
		}
		_, _ = term.run("kill-server") // it has ended if its program was killed
		_ = os.RemoveAll(folder)
	})
	start := []string{
		"-f", "/dev/null", "set-option", "-g", "remain-on-exit", "on", ";", "new-session", "-d",
		"-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows), "--", "sh", "-c", recordStatus, "sh", term.status, program,
	}
	cmd := exec.CommandContext(t.Context(), term.tmux, append([]string{"-u", "-S", term.socket}, append(start, args...)...)...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + folder, "LC_ALL=C.UTF-8", "TERM=xterm-256color"}, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	return term
}

// run sends a command to the tmux server.
func (term *Terminal) run(args ...string) (string, error) {
	out, err := exec.CommandContext(context.WithoutCancel(term.t.Context()), term.tmux, append([]string{"-u", "-S", term.socket}, args...)...).CombinedOutput()
	return string(out), err
}

// Text returns what is on the screen, without colors. A line that the terminal has wrapped is
// one line again.
func (term *Terminal) Text() string {
	text, err := term.run("capture-pane", "-p", "-J")
	if err != nil {
		return fmt.Sprintf("tmux: %v: %s", err, text)
	}
	return strings.TrimRight(text, "\n")
}

// Wait waits until each of the texts is on the screen, and returns the screen.
func (term *Terminal) Wait(texts ...string) string {
	term.t.Helper()
	var screen string
	Eventually(term.t, fmt.Sprintf("%q on the screen", texts), func() bool {
		screen = term.Text()
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
	return screen
}

// Press presses keys, with the names of tmux: a, Up, Space, Enter, C-c.
func (term *Terminal) Press(keys ...string) {
	term.t.Helper()
	if out, err := term.run(append([]string{"send-keys", "--"}, keys...)...); err != nil {
		term.t.Fatalf("tmux send-keys %q: %v\n%s", keys, err, out)
	}
}

// ExitCode waits until the program has ended, and returns its exit code.
func (term *Terminal) ExitCode(limit time.Duration) (code int) {
	term.t.Helper()
	Within(term.t, limit, "the end of the program", func() bool {
		status, err := os.ReadFile(term.status)
		if err != nil {
			return false
		}
		_, err = fmt.Sscan(string(status), &code)
		return err == nil
	})
	return code
}
