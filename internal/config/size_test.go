package config

import (
	"reflect"
	"testing"
)

// A size is a number with a unit.
func TestSize_NumberWithUnit(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Size
		text string
	}{
		{"0", 0, "0"}, {"1000", 1000, "1000"}, {"1024", 1 << 10, "1K"}, {"500K", 500 << 10, "500K"}, {"20m", 20 << 20, "20M"},
		{"1536M", 1536 << 20, "1536M"}, {"2G", 2 << 30, "2G"}, {"1T", 1 << 40, "1T"}, {"8388607T", 8388607 << 40, "8388607T"},
	} {
		got, err := parseSize(c.in)
		if err != nil || got != c.want || got.String() != c.text {
			t.Errorf("%q: %d = %v, %v", c.in, got, got, err)
		}
	}
	for _, bad := range []string{"", "K", "-1", "1.5G", "1 M", "1KB", "8388608T", "99999999999999999999", "0x10"} {
		if got, err := parseSize(bad); err == nil {
			t.Errorf("%q is taken as %d", bad, got)
		}
	}
}

// The sizes of the streams are numbers with or without a unit.
func TestSize_StreamsAcceptNumberOrUnit(t *testing.T) {
	path := write(t, `{"intake": {"max_bytes": 1048576}, "events": {"max_bytes": "3G"}}`)
	d, err := loadDispatcher(t, []string{"-config", path}, nil)
	if err != nil || d.Config.Intake.MaxBytes != 1<<20 || d.Config.Events.MaxBytes != 3<<30 {
		t.Errorf("%+v, %v", d, err)
	}
}

// Sizes and lists are read from the file, the environment and flags.
func TestLoad_SizesAndListsFromEachSource(t *testing.T) {
	path := write(t, `{"allow_networks": ["loopback", "10.0.0.0/8"], "bandwidth": "2M", "disk_floor": 4096}`)
	w, err := loadWorker(t, []string{"-config", path}, nil)
	if err != nil || w.Config.Bandwidth != 2<<20 || w.Config.DiskFloor != 4096 ||
		!reflect.DeepEqual(w.Config.AllowNetworks, []string{"loopback", "10.0.0.0/8"}) {
		t.Fatalf("%+v, %v", w, err)
	}
	w, err = loadWorker(t, []string{"-config", path, "-allow-networks", "private, ::1"}, []string{"WORKER_BANDWIDTH=1K", "WORKER_ALLOW_NETWORKS=loopback"})
	if err != nil || w.Config.Bandwidth != 1<<10 || !reflect.DeepEqual(w.Config.AllowNetworks, []string{"private", "::1"}) {
		t.Errorf("%+v, %v", w, err)
	}
	for text, key := range map[string]string{
		`{"allow_networks": "loopback"}`:       "allow_networks",
		`{"allow_networks": ["localhost"]}`:    "allow_networks",
		`{"allow_networks": [1]}`:              "allow_networks",
		`{"allow_networks": ["10.0.0.1/8"]}`:   "allow_networks",
		`{"bandwidth": "fast"}`:                "bandwidth",
		`{"bandwidth": -1}`:                    "bandwidth",
		`{"bandwidth": [1]}`:                   "bandwidth",
		`{"stall_timeout": 0}`:                 "stall_timeout",
		`{"disk_floor": true}`:                 "disk_floor",
		`{"name": ["a"]}`:                      "name",
		`{"tags": ["a"], "allow_networks":[]}`: "tags",
	} {
		file := write(t, text)
		_, err := loadWorker(t, []string{"-config", file}, nil)
		wantError(t, err, key, file+":1")
	}
}
