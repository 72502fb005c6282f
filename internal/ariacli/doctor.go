package ariacli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func doctorCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", GroupID: groupOther, Args: cobra.NoArgs,
		Short: "Check the connection, the permissions and the versions",
		Long: `doctor checks whether NATS and a dispatcher can be reached, what this user may do, whether
there is JetStream, the versions and the clocks. Each line says what to do. It changes
nothing. The exit code is that of the first error; warnings are not errors.`,
		Example: "  aria doctor\n  aria doctor --context production -o json",
		RunE:    run[finding](s, func(cmd *cobra.Command, _ []string) error { return s.doctor(cmd.Context()) }),
	}
}

// finding is one line of doctor.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warning or error
	Detail string `json:"detail"`
	err    error
}

// The statuses of findings.
const (
	findingOK      = "ok"
	findingWarning = "warning"
	findingError   = "error"
)

// doctor prints the findings, and returns the first error.
func (s *session) doctor(ctx context.Context) error {
	p := newPrinter(s, records[finding]{
		columns: []column[finding]{
			{name: "CHECK", cell: func(f finding) string { return f.Check }},
			{name: "STATUS", cell: func(f finding) string { return f.Status }},
			{name: "DETAIL", cell: func(f finding) string { return f.Detail }},
		},
		id: func(f finding) string { return f.Check },
	})
	var first *failure // its sentence is in the output
	s.examining = true
	err := printAll(p, func(yield func(finding, error) bool) {
		for _, f := range s.examine(ctx) {
			if first == nil && f.err != nil {
				said := *s.asFailure(f.err)
				said.said.Message = fmt.Sprintf("the check %s failed", f.Check)
				first = &said
			}
			if !yield(f, nil) {
				return
			}
		}
	})
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil && first != nil {
		return first
	}
	return err
}

// examine makes the checks in order. Without a connection there are no more.
func (s *session) examine(ctx context.Context) []finding {
	nc, err := s.connect(ctx)
	if err != nil {
		return []finding{s.failed("nats", err)}
	}
	rtt, err := nc.RTT()
	if err != nil {
		return []finding{s.failed("nats", err)}
	}
	list := []finding{
		{Check: "nats", Status: findingOK, Detail: fmt.Sprintf("nats-server %s at %s answers in %v", nc.ConnectedServerVersion(), s.address(), rtt.Round(10*time.Microsecond))},
		s.examineJetStream(ctx, nc),
	}
	tasks, err := s.tasks(ctx)
	if err != nil {
		return append(list, s.failed("client", err))
	}
	_, err = tasks.List(ctx, model.ListQuery{Limit: 1})
	name, _ := s.flags.clientName() // checked by s.tasks
	switch {
	case errors.Is(err, client.ErrNoDispatcher), errors.Is(err, client.ErrNoAnswer):
		return append(append(list, s.failed("dispatcher", err)), s.findPrefix(ctx, nc)...)
	case errors.Is(err, client.ErrForbidden):
		list = append(list, finding{Check: "client", Status: findingWarning, Detail: fmt.Sprintf("you may not act for the client %s (%v); give yours by --client", name, err)})
	case err != nil:
		list = append(list, s.failed("client", err))
	default:
		list = append(list, finding{Check: "client", Status: findingOK, Detail: "you may act for the client " + name})
	}
	return append(list, s.examineRoles(ctx, nc)...)
}

// discoveryTime is how long a dispatcher under another prefix has to answer.
const discoveryTime = 500 * time.Millisecond

// findPrefix looks for a dispatcher under another prefix, as a micro service of NATS. A
// user who may not ask for it gets no finding.
func (s *session) findPrefix(ctx context.Context, nc *nats.Conn) []finding {
	ctx, cancel := context.WithTimeout(ctx, discoveryTime)
	defer cancel()
	subject, err := micro.ControlSubject(micro.PingVerb, wire.ServiceName, "")
	if err != nil {
		return nil
	}
	m, err := nc.RequestWithContext(ctx, subject, nil)
	if err != nil {
		return nil
	}
	var ping micro.Ping
	if err := json.Unmarshal(m.Data, &ping); err != nil {
		return nil
	}
	prefix := ping.Metadata["prefix"]
	if _, err := wire.NewSubjects(prefix); err != nil || prefix == s.flags.prefix {
		return nil
	}
	return []finding{{Check: "prefix", Status: findingWarning, Detail: fmt.Sprintf("a dispatcher answers under another prefix: try --prefix %s", prefix)}}
}

// failed is the finding of an error.
func (s *session) failed(check string, err error) finding {
	return finding{check, findingError, s.asFailure(err).said.Message, err}
}

func (s *session) examineJetStream(ctx context.Context, nc *nats.Conn) finding {
	ctx, cancel := context.WithTimeout(ctx, s.flags.timeout)
	defer cancel()
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	switch {
	case err == nil:
		return finding{Check: "jetstream", Status: findingOK, Detail: "available: the intake and dead letters work"}
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return finding{Check: "jetstream", Status: findingWarning, Detail: "missing: there is no intake and no dlq; enable jetstream in the NATS server's configuration if you need them"}
	}
	return finding{Check: "jetstream", Status: findingWarning, Detail: fmt.Sprintf("unknown: this user may not ask for it (%v); downloads do not need it", err)}
}

// examineRoles checks the permissions of observers and operators by requests that change
// nothing, then what only an observer can read.
func (s *session) examineRoles(ctx context.Context, nc *nats.Conn) (list []finding) {
	operator, err := s.operator(ctx)
	if err != nil {
		return []finding{s.failed("observer", err)}
	}
	_, err = operator.Status(ctx)
	switch {
	case errors.Is(err, client.ErrForbidden):
		return []finding{{Check: "role", Status: findingOK, Detail: "client: you may read and change your own tasks only"}}
	case err != nil:
		return []finding{s.failed("dispatcher", err)}
	}
	role := "operator: you may read and change everything"
	if _, err = operator.DeadLetters(ctx, model.DeadLetterQuery{Limit: 1}); errors.Is(err, client.ErrForbidden) {
		role = "observer: you may read everything, and not change workers or tasks of others"
	}
	list = append(list, finding{Check: "role", Status: findingOK, Detail: role})
	return append(list, s.examineDispatcher(ctx, nc)...)
}

// examineDispatcher compares the version and the clock of the dispatcher.
func (s *session) examineDispatcher(ctx context.Context, nc *nats.Conn) []finding {
	ctx, cancel := context.WithTimeout(ctx, s.flags.timeout)
	defer cancel()
	subjects, err := wire.NewSubjects(s.flags.prefix)
	if err != nil {
		return []finding{s.failed("dispatcher", err)}
	}
	before := s.now()
	body, err := wire.AskBody(ctx, nc, subjects.Request(wire.Sender{Role: wire.RoleQuery, Verb: "status"}), []byte("{}"))
	after := s.now()
	var answer struct {
		Time          model.Time `json:"time"`
		Version, Role string
		ActiveWorkers int `json:"active_workers"`
	}
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		return []finding{s.failed("dispatcher", err)}
	}
	list := []finding{examineVersion(answer.Version, answer.Role)}
	if answer.ActiveWorkers == 0 {
		list = append(list, finding{Check: "workers", Status: findingWarning, Detail: "none is active: tasks wait; start a worker"})
	} else {
		list = append(list, finding{Check: "workers", Status: findingOK, Detail: fmt.Sprintf("%s active", display.Plural(int64(answer.ActiveWorkers), "worker"))})
	}
	if answer.Time != 0 {
		list = append(list, examineClock(answer.Time.Std(), before, after))
	}
	return list
}

// examineVersion compares the versions of the dispatcher and of this program.
func examineVersion(version, role string) finding {
	switch version {
	case "":
		return finding{Check: "dispatcher", Status: findingWarning, Detail: "it answers, but does not name its version: it is older than this aria; update it"}
	case process.Version:
		return finding{Check: "dispatcher", Status: findingOK, Detail: fmt.Sprintf("version %s, %s", version, role)}
	}
	return finding{Check: "dispatcher", Status: findingWarning, Detail: fmt.Sprintf("version %s, %s; this aria is %s: use the same version", version, role, process.Version)}
}

// maxSkew is the difference of clocks that is reported.
const maxSkew = 2 * time.Second

// examineClock compares the dispatcher's clock with that of this machine before and
// after the request.
func examineClock(theirs, before, after time.Time) finding {
	skew := time.Duration(0)
	switch {
	case theirs.Before(before.Truncate(time.Millisecond)):
		skew = theirs.Sub(before)
	case theirs.After(after):
		skew = theirs.Sub(after)
	}
	if skew.Abs() > maxSkew {
		return finding{Check: "clock", Status: findingWarning, Detail: fmt.Sprintf("the dispatcher's clock differs from this one by %v: synchronise both, because --since and not_before go by the dispatcher's", skew.Round(time.Millisecond))}
	}
	return finding{Check: "clock", Status: findingOK, Detail: "the dispatcher's clock agrees with this one"}
}
