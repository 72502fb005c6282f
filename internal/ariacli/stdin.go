package ariacli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"golang.org/x/term"
)

// interruptible reads until the context ends: a read that is under way then is abandoned,
// because a terminal or a pipe may never answer.
type interruptible struct {
	ctx context.Context
	in  io.Reader
}

// Read implements [io.Reader].
func (r *interruptible) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	buffer := make([]byte, len(p)) // an abandoned read still writes into it
	done := make(chan result, 1)
	go func() {
		n, err := r.in.Read(buffer)
		done <- result{n, err}
	}()
	select {
	case res := <-done:
		return copy(p, buffer[:res.n]), res.err
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
}

// stdin returns the input of a command that reads it.
func (s *session) stdin(ctx context.Context) io.Reader { return &interruptible{ctx, s.in} }

// line is a line of stdin without spaces around it.
type line struct {
	number int // from 1
	text   string
}

// lines yields the lines of stdin that are not empty. A line that is longer than limit is
// an error, which names it. A stdin without any is a list of nothing, such as the output of
// grep without a match: that is a hint, and no error.
func (s *session) lines(ctx context.Context, limit int) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		scanner := bufio.NewScanner(s.stdin(ctx))
		scanner.Buffer(nil, limit)
		l, found := line{}, false
		for scanner.Scan() {
			l.number++
			text := scanner.Text()
			if l.number == 1 {
				text = strings.TrimPrefix(text, "\ufeff") // which editors of Windows write
			}
			if l.text = strings.TrimSpace(text); l.text == "" {
				continue
			}
			if found = true; !yield(l, nil) {
				return
			}
		}
		switch err := scanner.Err(); {
		case err == nil && !found:
			s.hintf("stdin is empty: there is nothing to do")
		case errors.Is(err, bufio.ErrTooLong):
			yield(l, usagef("line %d of stdin is longer than %d bytes", l.number+1, limit))
		case err != nil:
			yield(l, fmt.Errorf("stdin: %w", err))
		}
	}
}

// maxIDLine is the longest line of a list of ids.
const maxIDLine = 64 << 10

// confirm asks a question on the terminal. Without a terminal it is an error of usage,
// unless --yes was given.
func (s *session) confirm(ctx context.Context, question string) error {
	if s.flags.yes {
		return nil
	}
	if !isTerminal(s.in) || !isTerminal(s.errOut) {
		return usagef("%s needs --yes, because there is no terminal to ask on", strings.TrimSuffix(question, "?"))
	}
	fmt.Fprintf(s.errOut, "%s [y/N] ", question)
	var answer string
	_, err := fmt.Fscanln(s.stdin(ctx), &answer)
	if ctx.Err() != nil {
		fmt.Fprintln(s.errOut)
		return context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) { // the terminal shows no new line then
		fmt.Fprintln(s.errOut)
	}
	if a := strings.ToLower(answer); err != nil || a != "y" && a != "yes" { // an error is only Enter, or the end
		return notDonef("nothing was done")
	}
	return nil
}

// askSecret reads a secret from the terminal, without showing it.
func (s *session) askSecret(ctx context.Context, what string) (string, error) {
	in, ok := s.in.(*os.File)
	if !ok || !isTerminal(s.in) || !isTerminal(s.errOut) {
		return "", usagef("the %s can be asked for on a terminal only", what)
	}
	fd := int(in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("reading the %s: %w", what, err)
	}
	fmt.Fprintf(s.errOut, "%s: ", what)
	defer fmt.Fprintln(s.errOut)
	var secret []byte
	done := make(chan error, 1)
	go func() {
		var err error
		secret, err = term.ReadPassword(fd)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return "", fmt.Errorf("reading the %s: %w", what, err)
		}
		return string(secret), nil
	case <-ctx.Done():
		return "", errors.Join(context.Cause(ctx), term.Restore(fd, state))
	}
}
