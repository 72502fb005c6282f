package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// stopSignals end a program in good order.
var stopSignals = map[string]os.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": os.Interrupt, "SIGHUP": syscall.SIGHUP}

// TestDispatcher_StopsWhileWaitingForNATS stops a dispatcher, and -dev, that has
// not reached NATS yet: one sentence, and exit code 0 unless -exit was to download a URL.
func TestDispatcher_StopsWhileWaitingForNATS(t *testing.T) {
	for name, signal := range stopSignals {
		for _, args := range [][]string{nil, {"-dev"}, {"-dev", "-log-level", "debug"}, {"-dev", "-exit", "-log-level", "debug", "http://127.0.0.1:1/f"}} {
			t.Run(fmt.Sprint(name, args), func(t *testing.T) {
				p := start(t, t.TempDir(), []string{"NATS_URL=127.0.0.1:1"}, "dispatcher", append(args, "-http-listen=")...)
				waits, url := "waiting for NATS", "url=nats://127.0.0.1:1 "
				if slices.Equal(args, []string{"-dev"}) { // which shows warnings of the log only
					waits, url = "no embedded NATS server", "using 127.0.0.1:1\n"
				}
				testbed.Eventually(t, "it waits", func() bool { return strings.Contains(p.Out.String(), waits) })
				if !strings.Contains(p.Out.String(), url) {
					t.Error("the URL without a scheme is not shown as it is read")
				}
				if !strings.Contains(p.Out.String(), "nats.url is set: no embedded NATS server") {
					t.Error("it does not say why it starts no server")
				}
				p.Signal(signal)
				want := 0
				if slices.Contains(args, "-exit") {
					want = 1
				}
				if code := p.Wait(testbed.Patience); code != want || (want == 1) != strings.Contains(p.Out.String(), "interrupted before the downloads began") {
					t.Errorf("exit code %d, want %d", code, want)
				}
				if text := p.Out.String(); strings.Contains(text, "level=ERROR") || !strings.Contains(text, "stopped before NATS was reached") {
					t.Error("it does not say that it was stopped before NATS was reached, or logs an error")
				}
			})
		}
	}
}

// TestDispatcher_StopsOnSIGHUP ends a dispatcher that serves as SIGTERM would, and
// shows the address that its embedded server really has.
func TestDispatcher_StopsOnSIGHUP(t *testing.T) {
	p := start(t, t.TempDir(), nil, "dispatcher", "-nats-listen", "127.0.0.1:-1", "-http-listen=")
	testbed.Eventually(t, "it is ready", func() bool { return strings.Contains(p.Out.String(), "msg=ready") })
	m := regexp.MustCompile(`msg=ready nats=(nats://127\.0\.0\.1:\d+) `).FindStringSubmatch(p.Out.String())
	if m == nil {
		t.Fatal("it does not log the address of its NATS server")
	}
	connect(t, m[1])
	p.Signal(syscall.SIGHUP)
	if code := p.Wait(testbed.Patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestDispatcher_IgnoresSIGHUPUnderNohup keeps what nohup has asked for: the signal
// is not caught.
func TestDispatcher_IgnoresSIGHUPUnderNohup(t *testing.T) {
	nohup := testbed.Program(t, "run", "#!/bin/sh\ntrap '' HUP\nexec "+filepath.Join(binaries, "dispatcher")+" -nats-listen= -http-listen=")
	p := startPath(t, t.TempDir(), nil, nohup)
	testbed.Eventually(t, "it is ready", func() bool {
		return strings.Contains(p.Out.String(), `msg=ready nats="embedded, without a listener"`)
	})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`SigIgn:\s*([0-9a-f]+)`).FindStringSubmatch(string(status))
	if mask, err := strconv.ParseUint(m[1], 16, 64); err != nil || mask&1 == 0 {
		t.Errorf("SIGHUP is not ignored: SigIgn is %s", m[1])
	}
	p.Stop()
}

// TestDev_ResumesAfterInterrupt interrupts a download and runs the same command
// again: the second run fetches only what the first one lacks. A third one finds the
// finished file and downloads the URL next to it.
func TestDev_ResumesAfterInterrupt(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"aria2", "direct"} {
		for _, double := range []bool{false, true} {
			t.Run(fmt.Sprint(engine, " double ", double), func(t *testing.T) {
				t.Parallel()
				resumes(t, engine, double)
			})
		}
	}
}

func resumes(t *testing.T, engine string, double bool) {
	t.Helper()
	var env []string
	if engine == "aria2" {
		testbed.RequireBinary(t, "aria2c")
	} else {
		env = append(env, "PATH="+t.TempDir())
	}
	data := downloadtest.Data(8 << 20)
	throttle := &downloadtest.Throttle{}
	throttle.Set(2 << 20)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	dir, url := t.TempDir(), s.URL+"/file.bin"
	run := func() *testbed.Process {
		return start(t, dir, env, "dispatcher", "-dev", "-exit", "-nats-listen", "127.0.0.1:-1", "-http-listen=", url)
	}

	p := run()
	testbed.Eventually(t, "it shows progress", func() bool {
		return s.Sent.Load() > 3<<20 && regexp.MustCompile(`downloading \d+% of 8\.0 MiB`).MatchString(p.Out.String())
	})
	throttle.Set(10 << 10) // it will not end before it is stopped
	p.Signal(os.Interrupt)
	if double {
		p.Kill() // as a second Ctrl-C does, whatever the first one has reached
	} else {
		if code := p.Wait(testbed.Patience); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		interruptedText(t, dir, url, p.Out.String())
	}
	throttle.Set(32 << 20)
	before := s.Sent.Load()
	p = run()
	if code := p.Wait(time.Minute); code != 0 {
		t.Fatalf("the same command again: exit code %d", code)
	}
	if sent := s.Sent.Load() - before; sent > int64(len(data))*3/4 {
		t.Errorf("the second run fetched %d bytes of %d", sent, len(data))
	}
	first := completedPath(t, p, url)
	if got, err := os.ReadFile(filepath.Join(dir, first)); err != nil || string(got) != string(data) {
		t.Errorf("%s: %d bytes of %d, %v", first, len(got), len(data), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "aria-dev-*")); len(left) > 0 {
		t.Errorf("temporary folders are left: %v", left)
	}
	throttle.Set(0)
	p = run()
	if code := p.Wait(time.Minute); code != 0 || completedPath(t, p, url) == first {
		t.Errorf("a third time: exit code %d, the file is in %s", code, first)
	}
}

// interruptedText checks the sentence about a download that Ctrl-C has ended, and
// that the partial file is where it says.
func interruptedText(t *testing.T, dir, url, text string) {
	t.Helper()
	m := regexp.MustCompile(regexp.QuoteMeta(url) + `: interrupted at [\d.]+ [KM]iB of 8\.0 MiB; the partial file is in (\S+); run the same command to resume\n0 of 1 completed\n`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("it does not say how far it came and how to resume")
	}
	if files, err := os.ReadDir(filepath.Join(dir, m[1])); err != nil || len(files) == 0 {
		t.Errorf("%s has no partial file: %v", m[1], err)
	}
	if strings.Contains(text, "unfinished") || strings.Contains(text, "failed") {
		t.Error("it calls the download failed")
	}
}

// TestDev_KeepsServingAfterItsURLs says so, shows the tasks of others, and ends
// with 0.
func TestDev_KeepsServingAfterItsURLs(t *testing.T) {
	t.Parallel()
	files := serveFile(t, []byte("content"), 0)
	p := start(t, t.TempDir(), nil, "dispatcher", "-dev", "-nats-listen", "127.0.0.1:-1", "-http-listen=", files.URL+"/a", files.URL+"/a")
	var url string
	testbed.Eventually(t, "it says that it still serves", func() bool {
		m := regexp.MustCompile(`2 of 2 completed\nstill serving on (nats://127\.0\.0\.1:\d+); Ctrl-C ends\n`).FindStringSubmatch(p.Out.String())
		if m != nil {
			url = m[1]
		}
		return m != nil
	})
	nc := connect(t, url)
	if _, err := ask(nc, "aria.v1.req.task.shop.submit", `{"id":"theirs","url":"`+files.URL+`/theirs"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(nc, "aria.v1.req.task.shop.submit", `{"id":"none","url":"`+files.URL+`/missing"}`); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "their tasks are shown", func() bool {
		text := p.Out.String()
		return strings.Contains(text, "shop/theirs: pending\n") && strings.Contains(text, "shop/theirs: completed: downloads/theirs/") &&
			strings.Contains(text, "shop/none: failed: ")
	})
	p.Signal(os.Interrupt)
	if code := p.Wait(testbed.Patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
