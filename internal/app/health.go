package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/aria-cluster/dispatcher/internal/config"
)

// health serves /healthz (the process answers) and /readyz (it can serve; 503 with the
// reason if not), and /debug/pprof/ if enabled.
type health struct {
	listener net.Listener
	server   *http.Server
}

func listenHealth(c *config.HTTP, ready func() error, logger *slog.Logger) (*health, error) {
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	if c.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index) // it has most profiles under its own path
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	h := &health{listener: listener, server: &http.Server{
		Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}}
	go func() {
		if err := h.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("the health server has ended", "error", err)
		}
	}()
	return h, nil
}

func (h *health) addr() string { return h.listener.Addr().String() }

func (h *health) close(ctx context.Context) error { return h.server.Shutdown(ctx) }
