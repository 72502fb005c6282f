package downloadtest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// startEngine starts an engine that is closed with the test.
func startEngine(t *testing.T, newEngine New) download.Engine {
	e := newEngine(t, t.TempDir())
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// FiveGigabytes downloads a file whose length needs more than 32 bits, from a
// server that cuts each connection after 700 MB. It takes minutes, and the space.
func FiveGigabytes(t *testing.T, newEngine New) {
	const size = 5<<30 + 12_345
	s := Serve(t, Cut(Zeros(size), 700<<20, -1))
	e := startEngine(t, newEngine)
	job := Job(t, "five", s.URL+"/file")
	Add(t, e, job)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var state download.State
	for state.Phase == download.Active {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it is not there yet: %+v", state)
		}
		states, err := e.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		state = states["five"]
	}
	if state.Phase != download.Complete || state.Total != size || len(state.Files) != 1 {
		t.Fatalf("%+v, error %+v", state, state.Err)
	}
	f, err := os.Open(filepath.Join(job.Dir, filepath.FromSlash(state.Files[0].Path)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	read := int64(0)
	for {
		n, err := f.Read(buf)
		read += int64(n)
		for _, b := range buf[:n] {
			if b != 0 {
				t.Fatal("there is something else than was served")
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if sent := s.Sent.Load(); read != size || sent > size*11/10 {
		t.Errorf("the file has %d bytes, the server sent %d", read, sent)
	}
}
