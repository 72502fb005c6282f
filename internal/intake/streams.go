package intake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// The durable consumers of the intake: of new submissions, and of parked ones.
const (
	intakeConsumer = "dispatcher"
	parkedConsumer = "parked"
)

// Limits of the streams without a configuration key.
const (
	intakeMsgSize  = 128 << 10        // bytes of one submission with its headers
	clientMessages = 10_000           // of one client, that can always be queued; see clientShare
	intakeWindow   = 10 * time.Minute // in which NATS discards a repeated Nats-Msg-Id, unless it was restarted
	intakeAckWait  = 5 * time.Second  // until an unacknowledged message is redelivered
	intakePending  = 1024             // messages between a consumer and a commit
	deadMessages   = 100_000          // dead letters
	deadPerClient  = 10_000
	deadBytes      = 256 << 20
	deadWindow     = 10 * time.Minute // in which NATS itself drops a repeated dead letter
	streamsTimeout = 5 * time.Second
)

// StreamOptions are the limits of the streams.
type StreamOptions struct {
	Prefix         string // of all subjects
	Replicas       int    // servers that keep each stream
	Intake         bool   // enables the intake and its dead letters
	IntakeMessages int64  // submissions in the stream
	IntakeBytes    int64
	Events         bool // enables the stream of events
	EventsAge      time.Duration
	EventsBytes    int64
}

// errUnusable is the error of a stream or consumer that exists with a wrong setting, or
// can never be created. Retrying does not help.
var errUnusable = errors.New("not usable")

// EnsureStreams creates missing streams and consumers of the intake, sets the limits of
// o on them, and checks the settings that the dispatcher relies on. An error names the
// stream and the setting. It never removes messages.
func EnsureStreams(ctx context.Context, nc *nats.Conn, o StreamOptions) error {
	subjects, err := wire.NewSubjects(o.Prefix)
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("streams of %s: %w", o.Prefix, err)
	}
	for _, want := range o.streams(subjects, int32(wire.MaxBody(nc))) {
		if err := ensureStream(ctx, js, want); err != nil {
			return fmt.Errorf("stream %s: %w", want.Name, explainDenied(nc, err))
		}
	}
	if !o.Intake {
		return nil
	}
	stream := subjects.StreamName(wire.StreamIntake)
	for _, want := range consumers(subjects) {
		if err := ensureConsumer(ctx, js, stream, want); err != nil {
			return fmt.Errorf("consumer %s of stream %s: %w", want.Durable, stream, explainDenied(nc, err))
		}
	}
	return nil
}

// explainDenied adds the server's permission error to a timeout: a request without
// permission has no answer.
func explainDenied(nc *nats.Conn, err error) error {
	if last := nc.LastError(); errors.Is(err, context.DeadlineExceeded) && errors.Is(last, nats.ErrPermissionViolation) {
		return fmt.Errorf("%w; %w: `migrate schema up --nats URL`, with a user who may, makes and checks the streams", err, last)
	}
	return err
}

// streamSetup is the required configuration of a stream.
type streamSetup struct {
	jetstream.StreamConfig
	configured bool // its limits are the configuration's, not the operator's

	// room is the maximum size of a message, in bytes; 0 = not limited. The dispatcher
	// stores messages of the intake again, with more headers, below max_payload.
	room int32
}

// streams returns the required streams of a cluster. A message of the server has room for so
// many bytes.
func (o StreamOptions) streams(s wire.Subjects, room int32) []streamSetup {
	var list []streamSetup
	if o.Intake {
		list = append(list, o.intake(s, room), o.deadLetters(s))
	}
	if o.Events {
		list = append(list, o.events(s))
	}
	for i := range list {
		c := &list[i].StreamConfig
		c.Storage, c.Replicas, c.Metadata = jetstream.FileStorage, o.Replicas, map[string]string{wire.MetaPrefix: s.Prefix}
	}
	return list
}

func (o StreamOptions) intake(s wire.Subjects, room int32) streamSetup {
	return streamSetup{StreamConfig: jetstream.StreamConfig{
		Name: s.StreamName(wire.StreamIntake), Description: "submissions that no dispatcher has decided on yet",
		Subjects: []string{s.Intake("*"), s.Parked("*")}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
		MaxMsgs: o.IntakeMessages, MaxBytes: o.IntakeBytes, MaxMsgSize: min(intakeMsgSize, room),
		MaxMsgsPerSubject: clientShare(o.IntakeMessages), DiscardNewPerSubject: true,
		Duplicates: intakeWindow, AllowAtomicPublish: true,
	}, configured: true, room: room}
}

// clientShare is the limit of messages of one client in the intake, and of its parked
// ones, so that one client alone cannot fill it. NATS has no such limit in bytes.
func clientShare(messages int64) int64 { return max(messages/4, clientMessages) }

func (o StreamOptions) deadLetters(s wire.Subjects) streamSetup {
	return streamSetup{StreamConfig: jetstream.StreamConfig{
		Name: s.StreamName(wire.StreamDLQ), Description: "submissions that can never be accepted; the header " + headerError + " says why",
		Subjects: []string{s.DeadLetter("*")}, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxMsgs: deadMessages, MaxMsgsPerSubject: deadPerClient, MaxBytes: deadBytes, Duplicates: deadWindow,
	}}
}

func (o StreamOptions) events(s wire.Subjects) streamSetup {
	setup := streamSetup{StreamConfig: jetstream.StreamConfig{
		Name: s.StreamName(wire.StreamEvents), Description: "what happened to tasks, workers and submissions",
		Subjects:  s.EventStreams(),
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: o.EventsAge, MaxBytes: o.EventsBytes, Duplicates: min(o.EventsAge, 2*time.Minute),
	}, configured: true}
	if o.Replicas == 1 {
		// Events are hints: a server with SyncAlways need not sync them.
		setup.PersistMode = jetstream.AsyncPersistMode
	}
	return setup
}

func ensureStream(ctx context.Context, js jetstream.JetStream, want streamSetup) error {
	ctx, cancel := context.WithTimeout(ctx, streamsTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, want.StreamConfig)
		return permanent(err)
	}
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	have := info.Config
	if err := checkStream(&have, &want.StreamConfig); err != nil {
		return err
	}
	changed := adjustShare(&have, &want.StreamConfig, info.State.Msgs)
	if !adjust(&have, &want) && !changed {
		return nil
	}
	if _, err := js.UpdateStream(ctx, have); err != nil {
		return permanent(fmt.Errorf("setting its limits: %w", err))
	}
	return nil
}

// permanent marks errors that a retry does not solve, such as subjects of another
// stream. A server without enough peers returns the same code, and is retried.
func permanent(err error) error {
	const noSuitablePeers = 10005
	var api *jetstream.APIError
	if errors.As(err, &api) && api.Code == 400 && api.ErrorCode != noSuitablePeers {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	return err
}

// checkStream checks the settings that the dispatcher relies on; the others are the
// operator's.
func checkStream(have, want *jetstream.StreamConfig) error {
	mismatch := func(setting string, is, must any) error {
		return fmt.Errorf("%w: %s is %v and must be %v", errUnusable, setting, is, must)
	}
	switch prefix := have.Metadata[wire.MetaPrefix]; {
	case prefix != "" && prefix != want.Metadata[wire.MetaPrefix]:
		return mismatch("metadata "+wire.MetaPrefix, prefix, want.Metadata[wire.MetaPrefix])
	case !covers(have.Subjects, want.Subjects[0]):
		return mismatch("subjects", have.Subjects, want.Subjects)
	case have.Retention != want.Retention:
		return mismatch("retention", have.Retention, want.Retention)
	case have.Storage != want.Storage:
		return mismatch("storage", have.Storage, want.Storage)
	case have.Sealed:
		return mismatch("sealed", true, false)
	}
	if want.Retention != jetstream.WorkQueuePolicy {
		return nil
	}
	switch {
	case have.MaxAge != 0:
		return mismatch("max_age", have.MaxAge, "0: what was acknowledged may not go away")
	case have.MaxMsgsPerSubject > 0 && !have.DiscardNewPerSubject:
		return mismatch("max_msgs_per_subject", have.MaxMsgsPerSubject, "-1, or new messages have to be discarded, by discard_new_per_subject")
	case have.NoAck:
		return mismatch("no_ack", true, false)
	case have.AllowRollup:
		return mismatch("allow_rollup_hdrs", true, "false: with Nats-Rollup any client removes the messages of all")
	}
	return nil
}

// covers reports whether one of the filters matches every subject that the pattern
// matches.
func covers(filters []string, pattern string) bool {
	return slices.ContainsFunc(filters, func(filter string) bool { return matches(filter, pattern) })
}

// matches reports whether the filter matches every subject that the pattern matches:
// "*" stands for one token, ">" at the end for one or more.
func matches(filter, pattern string) bool {
	tokens := strings.Split(pattern, ".")
	for i, want := range strings.Split(filter, ".") {
		switch {
		case i == len(tokens):
			return false
		case want == ">":
			return true
		case tokens[i] == ">" || want != "*" && want != tokens[i]:
			return false
		}
	}
	return strings.Count(filter, ".") == len(tokens)-1
}

// adjust applies the configuration to have and reports whether that changed it. Limits
// without a configuration key keep the values of the operator.
func adjust(have *jetstream.StreamConfig, want *streamSetup) (changed bool) {
	set := func(differs bool, apply func()) {
		if differs {
			apply()
			changed = true
		}
	}
	set(have.Replicas != want.Replicas, func() {
		have.Replicas, have.PersistMode = want.Replicas, want.PersistMode
	})
	set(want.AllowAtomicPublish && !have.AllowAtomicPublish, func() { have.AllowAtomicPublish = true })
	for _, subject := range want.Subjects {
		set(!covers(have.Subjects, subject), func() { have.Subjects = append(have.Subjects, subject) })
	}
	set(want.room > 0 && (have.MaxMsgSize <= 0 || have.MaxMsgSize > want.room), func() { have.MaxMsgSize = want.room })
	set(have.Discard != want.Discard, func() { have.Discard = want.Discard })
	if have.Metadata[wire.MetaPrefix] == "" {
		have.Metadata = maps.Clone(have.Metadata)
		if have.Metadata == nil {
			have.Metadata = make(map[string]string)
		}
		have.Metadata[wire.MetaPrefix], changed = want.Metadata[wire.MetaPrefix], true
	}
	if !want.configured {
		set(have.Duplicates < want.Duplicates && (have.MaxAge == 0 || have.MaxAge >= want.Duplicates), func() {
			have.Duplicates = want.Duplicates
		})
		return changed
	}
	set(want.MaxMsgs != 0 && have.MaxMsgs != want.MaxMsgs, func() { have.MaxMsgs = want.MaxMsgs })
	set(have.MaxBytes != want.MaxBytes, func() { have.MaxBytes = want.MaxBytes })
	set(have.MaxAge != want.MaxAge, func() {
		have.MaxAge, have.Duplicates = want.MaxAge, want.Duplicates
	})
	return changed
}

// adjustShare applies a client's share of the intake to have and reports whether that
// changed it. NATS removes messages above a lowered limit, so the share is lowered only
// while the stream has at most half of it, which leaves at least 5,000 messages of
// room. Otherwise a later start lowers it.
func adjustShare(have, want *jetstream.StreamConfig, messages uint64) (changed bool) {
	if !want.DiscardNewPerSubject || have.MaxMsgsPerSubject == want.MaxMsgsPerSubject {
		return false
	}
	lower := have.MaxMsgsPerSubject <= 0 || want.MaxMsgsPerSubject < have.MaxMsgsPerSubject
	if lower && messages > uint64(want.MaxMsgsPerSubject)/2 {
		return false
	}
	// The server takes the three only together.
	have.Discard, have.DiscardNewPerSubject, have.MaxMsgsPerSubject = want.Discard, true, want.MaxMsgsPerSubject
	return true
}

// consumers returns the required consumers of the intake. They have no MaxDeliver: a
// message is redelivered until it is decided.
func consumers(s wire.Subjects) []jetstream.ConsumerConfig {
	config := func(name, description, subject string) jetstream.ConsumerConfig {
		return jetstream.ConsumerConfig{
			Durable: name, Description: description, FilterSubject: subject,
			AckPolicy: jetstream.AckExplicitPolicy, AckWait: intakeAckWait, MaxDeliver: -1, MaxAckPending: intakePending,
			DeliverPolicy: jetstream.DeliverAllPolicy, ReplayPolicy: jetstream.ReplayInstantPolicy,
			Metadata: map[string]string{wire.MetaPrefix: s.Prefix},
		}
	}
	return []jetstream.ConsumerConfig{
		config(intakeConsumer, "the dispatcher", s.Intake("*")),
		config(parkedConsumer, "the dispatcher, for what is past a client's limits", s.Parked("*")),
	}
}

func ensureConsumer(ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig) error {
	ctx, cancel := context.WithTimeout(ctx, streamsTimeout)
	defer cancel()
	consumer, err := js.Consumer(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		_, err = js.CreateConsumer(ctx, stream, want)
		return permanent(err)
	}
	if err != nil {
		return err
	}
	have := consumer.CachedInfo().Config
	if have.AckPolicy != want.AckPolicy {
		return fmt.Errorf("%w: ack_policy is %v and must be %v", errUnusable, have.AckPolicy, want.AckPolicy)
	}
	same := have.AckWait == want.AckWait && have.MaxDeliver == want.MaxDeliver && have.MaxAckPending == want.MaxAckPending &&
		have.FilterSubject == want.FilterSubject && len(have.FilterSubjects) == 0 && len(have.BackOff) == 0 && !have.HeadersOnly &&
		have.Metadata[wire.MetaPrefix] == want.Metadata[wire.MetaPrefix]
	if same {
		return nil
	}
	have.AckWait, have.MaxDeliver, have.MaxAckPending = want.AckWait, want.MaxDeliver, want.MaxAckPending
	have.FilterSubject, have.FilterSubjects, have.BackOff, have.HeadersOnly = want.FilterSubject, nil, nil, false
	have.Metadata = want.Metadata
	if _, err := js.UpdateConsumer(ctx, stream, have); err != nil {
		return permanent(fmt.Errorf("setting its options: %w", err))
	}
	return nil
}
