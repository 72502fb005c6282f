package model

import "testing"

// TestValidTraceparent_FollowsW3C checks the form of W3C Trace Context.
func TestValidTraceparent_FollowsW3C(t *testing.T) {
	for s, want := range map[string]bool{
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01": true,
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00": true,
		"": false, "00": false,
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":   false,
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01":   false,
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01":   false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01":   false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x": false,
		"00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01":   false,
		"00-4bf92f3577b34da6a3ce929d0e0e473--00f067aa0ba902b7-01":   false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\n":  false,
	} {
		if got := ValidTraceparent(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// A trace has an id for others only if it is sampled: the last bit of the flags.
func TestSampledTrace_OnlyOfSampledOnes(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for flags, want := range map[string]string{"01": id, "00": "", "03": id, "02": "", "ff": id, "10": "", "x1": ""} {
		if got := SampledTrace("00-" + id + "-00f067aa0ba902b7-" + flags); got != want {
			t.Errorf("flags %s: %q, want %q", flags, got, want)
		}
	}
	if got := SampledTrace(""); got != "" {
		t.Errorf("without a trace: %q", got)
	}
}
