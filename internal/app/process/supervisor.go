package process

import (
	"context"
	"log/slog"
	"os"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
)

// readyPoll is the time between two checks whether a starting program serves.
const readyPoll = 100 * time.Millisecond

// Supervise notifies the service manager, if one started this process with a notify
// socket: READY=1 when ready returns nil, WATCHDOG=1 while check returns nil,
// STOPPING=1 when ctx or the program ends. check asks the program's own loop: a process
// with a loop that hangs must be restarted. Call the returned function when the program
// has ended; the watchdog is served until then, also during the stop.
func Supervise(ctx context.Context, ready, check func(context.Context) error, logger *slog.Logger) (end func()) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return func() {}
	}
	s := &supervisor{check: check, logger: logger}
	var err error
	if s.watchdog, err = systemd.SdWatchdogEnabled(false); err != nil {
		logger.Warn("the watchdog of the service manager is not served", "error", err)
	}
	stopping := context.AfterFunc(ctx, func() { s.notify(systemd.SdNotifyStopping) })
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if s.waitReady(life, ctx, ready) {
			s.notify(systemd.SdNotifyReady)
			s.feed(life)
		}
	}()
	return func() {
		if stopping() { // the program ends without ctx
			s.notify(systemd.SdNotifyStopping)
		}
		cancel()
		<-ended
	}
}

// supervisor is the connection to the service manager.
type supervisor struct {
	check    func(context.Context) error
	watchdog time.Duration // 0: not requested
	logger   *slog.Logger
}

// notify sends one state. A failure is logged: the service manager then uses its own
// timeouts.
func (s *supervisor) notify(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		s.logger.Warn("the service manager was not notified", "state", state, "error", err)
	}
}

// waitReady returns true once ready returns nil, false if either context ends first.
func (s *supervisor) waitReady(life, ctx context.Context, ready func(context.Context) error) bool {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for ready(life) != nil {
		select {
		case <-life.Done():
			return false
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// feed checks the loop three times in each period of the watchdog, and sends WATCHDOG=1
// after each success.
func (s *supervisor) feed(ctx context.Context) {
	if s.watchdog <= 0 {
		return
	}
	every := s.watchdog / 3
	stuck := false
	goroutine.Every(ctx, every, func(ctx context.Context) {
		try, cancel := context.WithTimeout(ctx, every)
		err := s.check(try)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			s.notify(systemd.SdNotifyWatchdog)
		case !stuck:
			s.logger.Warn("the loop does not answer; the watchdog of the service manager is not fed", "error", err)
		}
		stuck = err != nil
	})
}
