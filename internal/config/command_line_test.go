package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The flags of the dispatcher set its keys.
func TestLoadDispatcher_CommandLine(t *testing.T) {
	cases := []struct {
		args []string
		want DispatcherCommand
	}{
		{[]string{"-dev"}, DispatcherCommand{Dev: true}},
		{[]string{"-dev", "-exit", "http://a/1", "http://a/2"}, DispatcherCommand{Dev: true, Exit: true, URLs: []string{"http://a/1", "http://a/2"}}},
		{[]string{"-dev", "http://a/1", "-exit", "http://a/2"}, DispatcherCommand{Dev: true, Exit: true, URLs: []string{"http://a/1", "http://a/2"}}},
		{[]string{"-dev", "--", "-exit"}, DispatcherCommand{Dev: true, URLs: []string{"-exit"}}},
		{[]string{"-version", "whatever"}, DispatcherCommand{Version: true}},
	}
	for _, c := range cases {
		got, err := loadDispatcher(t, c.args, nil)
		if err != nil {
			t.Errorf("%v: %v", c.args, err)
			continue
		}
		got.Config = nil
		if !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%v: got %+v, want %+v", c.args, *got, c.want)
		}
	}
	for _, args := range [][]string{{"http://a/1"}, {"-exit"}, {"-exit", "http://a/1"}, {"-dev", "-exit"}, {"-bogus"}, {"-config"}, {"-dev=maybe"}} {
		var e *Error
		if _, err := loadDispatcher(t, args, nil); !errors.As(err, &e) {
			t.Errorf("%v: got %v, want an *Error", args, err)
		}
	}
	for _, help := range []string{"-h", "-help", "--help"} {
		if _, err := loadDispatcher(t, []string{help}, nil); !errors.Is(err, ErrHelp) {
			t.Errorf("%s: got %v", help, err)
		}
	}
}

// The flags of a worker set its keys.
func TestLoadWorker_Flags(t *testing.T) {
	w, err := loadWorker(t, []string{
		"-name", "n1", "-nats", "nats://h:1", "-dir", "d", "-slots", "0", "-engine", "direct", "-tags", "location=eu,gpu=no",
	}, []string{"WORKER_NAME=other", "NATS_URL=nats://other"})
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultWorker()
	want.Name, want.NATS.URL, want.Dir, want.Slots, want.Engine = "n1", "nats://h:1", "d", 0, "direct"
	want.Tags = map[string]string{"location": "eu", "gpu": "no"}
	if !reflect.DeepEqual(w.Config, want) {
		t.Errorf("got %+v, want %+v", w.Config, want)
	}
	if _, err := loadWorker(t, []string{"http://a/1"}, nil); err == nil {
		t.Error("an argument was taken")
	}
	if w, err := loadWorker(t, []string{"-version"}, nil); err != nil || !w.Version {
		t.Errorf("-version: %+v, %v", w, err)
	}
}

// A switch needs no value.
func TestFlag_SwitchNeedsNoValue(t *testing.T) {
	for _, args := range [][]string{{"-http-pprof", "-log-level", "debug"}, {"-http-pprof=true"}} {
		d, err := loadDispatcher(t, args, nil)
		if err != nil || !d.Config.HTTP.Pprof {
			t.Errorf("%v: %v", args, err)
		}
	}
	if d, err := loadDispatcher(t, []string{"-http-pprof=false"}, nil); err != nil || d.Config.HTTP.Pprof {
		t.Errorf("=false: %v", err)
	}
}

// The default name of a worker is its host name with the illegal characters
// replaced.
func TestWorkerName_HostNameIsMadeLegal(t *testing.T) {
	for in, want := range map[string]string{
		"node-1": "node-1", "node.example.org": "node-example-org", "": "worker", "…": "worker",
		"büro": "b-ro", strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		if got := legalName(in); got != want || !model.ValidName(got) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
