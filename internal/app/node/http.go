package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of each connection to http.listen.
const (
	httpHeaderTimeout = 5 * time.Second
	httpWriteTimeout  = 15 * time.Second
	httpIdleTimeout   = 2 * time.Minute
	httpMaxHeader     = 16 << 10
	httpStopTimeout   = time.Second
)

// listen opens http.listen; it returns nil without an address.
func listen(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("http.listen: %w", err)
	}
	return l, nil
}

// closeListener closes a listener that is not served.
func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// serveHTTP serves /healthz and /metrics until the returned function is called. Whoever
// reaches the address can read both: they have neither URLs nor names of files.
func serveHTTP(l net.Listener, metrics http.Handler, logger *slog.Logger) (stop func()) {
	if l == nil {
		return func() {}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /metrics", metrics)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: httpHeaderTimeout, ReadTimeout: httpHeaderTimeout, WriteTimeout: httpWriteTimeout,
		IdleTimeout: httpIdleTimeout, MaxHeaderBytes: httpMaxHeader,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("the listener of http.listen has ended", "error", err)
		}
	}()
	logger.Info("health and metrics are served", "http", l.Addr().String())
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), httpStopTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // it closes connections that were in use, and has no further error
		}
		<-ended
	}
}
