package aria2

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// aria2c takes the end of an FTP transfer for the end of the file if the server has no SIZE,
// reads as many bytes as SIZE says, and takes a file of size 0 for empty. It ignores whether the
// server says 226 or 426 after the transfer. So the server is asked for the length of a finished
// file in other ways too, and the proxy notes the reply to the transfer. A file whose SIZE may be
// wrong, such as one that the server makes for each transfer, is fetched again without SIZE.

const (
	maxFTPReplies   = 64 << 10 // bytes of all replies of one session
	maxStatusFields = 9        // of a line in the form of "ls -l"
)

// ftpLengths are the lengths that an FTP server states for a file; -1 = none.
type ftpLengths struct {
	listed int64 // by MLST, or by STAT where the server does not have it
	size   int64 // by SIZE, asked after that
}

// isShort reports whether a file of total bytes is shorter than the server's. before is the
// length that was listed before the file was fetched, 0 if none was: one that has as many bytes
// has grown since. So has one that SIZE says is longer by now, because aria2c asked for it first.
func (l ftpLengths) isShort(total, before int64) bool {
	return l.listed > total && l.size <= total && (before == 0 || total < before)
}

// shortFile returns why a finished file may be shorter than at its FTP server, "" if it is not. It is
// not known while the server is asked. If the length by SIZE may be the reason, the next submit reads
// the file up to the end of the transfer.
func (e *Engine) shortFile(j *job, total int64) (why string, known bool) {
	source := j.ftpSource()
	if j.measured || source == nil || j.checked() {
		return "", true
	}
	if j.probing == nil {
		if e.isProxied() && e.proxy.Traffic(j.gid).Transfers > 0 {
			return "", false // the reply to the transfer may still come
		}
		login := *j.sanitizedJob().Task
		e.startProbe(j, toMeasure, func(ctx context.Context) preparation {
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			lengths, err := askFTP(ctx, e.cfg.Guard.Dialer(probeTimeout), source, login.Options["ftp-user"], login.Options["ftp-passwd"])
			if err != nil {
				e.cfg.Logger.Debug("an FTP server does not state the length of a file", "task", login.ID, "error", download.Clean(err.Error()))
			}
			return preparation{lengths: lengths, canceled: ctx.Err() != nil && e.life.Err() != nil}
		})
		return "", false
	}
	p, known := j.takeProbe(toMeasure)
	if !known {
		return "", false
	}
	why = j.transferFault(p.lengths, total, e.proxy.Traffic(j.gid), e.isProxied())
	if why == "" {
		j.measured = true
		return "", true
	}
	j.readsToEnd = p.lengths.size >= 0
	return why, true
}

// transferFault returns why a finished FTP file of total bytes may not be whole, "" if it is. One of
// these proves that it is: the reply to the transfer, the length by MLST or STAT, and the length by
// SIZE, unless the transfer brought more, brought nothing, or was refused by its reply. What a
// proxy has not seen proves nothing.
func (j *job) transferFault(l ftpLengths, total int64, seen netguard.Traffic, proxied bool) string {
	const success = 2 // the first digit of the reply
	several := j.intOption("max-connection-per-server", 1) > 1
	switch ended := seen.Transfer/100 == success; {
	case l.isShort(total, j.listed):
		j.listed = l.listed
		return fmt.Sprintf("the server says that the file has %d bytes, and sent %d", l.listed, total)
	case !proxied:
		return ""
	case seen.Longest > total && !several:
		return fmt.Sprintf("the server says that the file has %d bytes, and sent more", total)
	case total == 0 && l.size >= 0 && !j.readsToEnd:
		return "the server says that the file has no byte"
	case ended, total > 0 && (l.listed == total || l.size == total && (j.readsToEnd || several || seen.Transfer == 0)):
		return ""
	case seen.Transfer == 0:
		return fmt.Sprintf("the server sent %d bytes and did not say that they are all", total)
	}
	return fmt.Sprintf("the server ended the transfer after %d bytes with the reply %d", total, seen.Transfer)
}

// leavesSize makes the next submit read an FTP file up to the end of the transfer, after aria2c has
// failed because the server states no number with SIZE. It is false for any other failure.
func (j *job) leavesSize(message string) bool {
	if j.readsToEnd || !strings.Contains(message, "Size must be positive integer") || j.ftpSource() == nil {
		return false
	}
	j.readsToEnd = true
	return true
}

// ftpSource returns the URL of a job with one source, if it uses FTP.
func (j *job) ftpSource() *url.URL {
	spec := &j.sanitizedJob().Task.TaskSpec
	if kindOf(spec) != kindPlain || len(spec.Mirrors) > 0 {
		return nil
	}
	u, err := download.ParseURL(spec.URL)
	if err != nil || u.Scheme != "ftp" {
		return nil
	}
	return u
}

// askFTP asks an FTP server for the length of a file over the control connection. user and
// password are those of the task; those of the URL replace them. The error has no password.
func askFTP(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), u *url.URL, user, password []string) (ftpLengths, error) {
	none := ftpLengths{-1, -1}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "21")))
	if err != nil {
		return none, fmt.Errorf("ask an FTP server for a length: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s := &ftpSession{conn, textproto.NewReader(bufio.NewReader(io.LimitReader(conn, maxFTPReplies)))}
	if _, err := s.reply(); err != nil {
		return none, err
	}
	if err := s.login(u, strings.Join(user, ""), strings.Join(password, "")); err != nil {
		return none, err
	}
	folder, name := path.Split(strings.TrimPrefix(u.Path, "/"))
	if folder = strings.TrimRight(folder, "/"); folder == "" && strings.HasPrefix(u.Path, "//") {
		folder = "/"
	}
	commands := []string{"TYPE I"}
	if folder != "" {
		commands = append(commands, "CWD "+folder)
	}
	for _, command := range commands {
		if _, err := s.ask(command); err != nil {
			return none, err
		}
	}
	lengths := none
	if text, err := s.ask("MLST " + name); err == nil {
		lengths.listed = mlstLength(text)
	} else if text, err := s.ask("STAT " + name); err == nil {
		lengths.listed = statLength(text, name)
	}
	if text, err := s.ask("SIZE " + name); err == nil {
		lengths.size = lengthIn(strings.TrimSpace(text))
	}
	_, _ = s.ask("QUIT") // so that the server counts one connection less at once
	return lengths, nil
}

// ftpRefusal is the code of a reply that is no success. The text of the reply may repeat a password.
type ftpRefusal int

func (r ftpRefusal) Error() string { return fmt.Sprintf("its reply is %d", int(r)) }

// userSuffices is the reply to PASS of a server that needs no password.
const userSuffices = ftpRefusal(503)

// ftpSession is a control connection.
type ftpSession struct {
	conn io.Writer
	in   *textproto.Reader
}

// reply returns the text of the next reply. The error is one of the connection, or a reply that
// is no success.
func (s *ftpSession) reply() (string, error) {
	code, text, err := s.in.ReadResponse(0)
	switch {
	case err != nil:
		return "", fmt.Errorf("ask an FTP server for a length: %w", err)
	case code < 200 || code >= 400:
		return "", fmt.Errorf("ask an FTP server for a length: %w", ftpRefusal(code))
	}
	return text, nil
}

func (s *ftpSession) ask(command string) (string, error) {
	if strings.ContainsAny(command, "\r\n\x00") {
		return "", fmt.Errorf("ask an FTP server for a length: %q is no command", command[:4])
	}
	if _, err := io.WriteString(s.conn, command+"\r\n"); err != nil {
		return "", fmt.Errorf("ask an FTP server for a length: %w", err)
	}
	return s.reply()
}

// login logs in as aria2c does.
func (s *ftpSession) login(u *url.URL, user, password string) error {
	if u.User != nil {
		user = u.User.Username()
		if own, ok := u.User.Password(); ok {
			password = own
		}
	}
	if user == "" {
		user, password = "anonymous", "ARIA2USER@"
	}
	if _, err := s.ask("USER " + user); err != nil {
		return err
	}
	_, err := s.ask("PASS " + password)
	var refused ftpRefusal
	if errors.As(err, &refused) && refused == userSuffices {
		return nil
	}
	return err
}

// mlstLength returns the fact size of a reply to MLST (RFC 3659, 7) for a file; -1 without it.
func mlstLength(text string) int64 {
	for line := range strings.Lines(text) {
		facts, _, ok := strings.Cut(strings.TrimLeft(line, " "), " ")
		if !ok || !strings.HasSuffix(facts, ";") {
			continue
		}
		length, isFile := int64(-1), true
		for fact := range strings.SplitSeq(facts, ";") {
			switch name, value, _ := strings.Cut(fact, "="); strings.ToLower(name) {
			case "size":
				length = lengthIn(value)
			case "type":
				isFile = strings.EqualFold(value, "file")
			}
		}
		if isFile {
			return length
		}
	}
	return -1
}

// statLength returns the length in a reply to STAT that describes the file of that name, and no
// other, in the form of "ls -l"; -1 without it. A link states its own length.
func statLength(text, name string) int64 {
	length, found := int64(-1), 0
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < maxStatusFields || !slices.Contains([]string{"-", "l", "d"}, fields[0][:1]) {
			continue
		}
		if found++; fields[0][0] == '-' && strings.HasSuffix(strings.TrimRight(line, "\r\n"), " "+name) {
			length = lengthIn(fields[4])
		}
	}
	if found != 1 {
		return -1
	}
	return length
}

// lengthIn reads a length; -1 if the text is not one.
func lengthIn(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}
