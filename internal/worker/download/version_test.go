package download

import (
	"os"
	"runtime"
	"testing"
)

// The variants of Content-Range that servers send are parsed.
func TestContentRange_ParsesServerVariants(t *testing.T) {
	for _, c := range []struct {
		text         string
		first, total int64
		ok           bool
	}{
		{"bytes 5-9/10", 5, 10, true}, {"bytes 5-9/*", 5, -1, true}, {"bytes */10", 0, 0, false},
		{"", 0, 0, false}, {"bytes", 0, 0, false}, {"items 1-2/3", 0, 0, false}, {"bytes 5-9", 5, 0, false},
		{"bytes 99999999999999999999-1/2", 0, 0, false}, {"bytes 5-9/4", 5, 4, false}, {"bytes -5-9/10", 0, 0, false},
		{"bytes 5-9 / 10", 5, 10, true}, {"bytes 5-9/9", 5, 9, false}, {"bytes 0-9/0", 0, 0, false},
	} {
		first, total, ok := ContentRange(c.text)
		if ok != c.ok || ok && (first != c.first || total != c.total) {
			t.Errorf("%q: %d, %d, %v", c.text, first, total, ok)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 5-9/10", "bytes 5-9/*", "bytes */10", "bytes +5--9/-1", "bytes 9223372036854775807-/9223372036854775808", "items 1-2/3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, total, ok := ContentRange(text)
		if ok && (first < 0 || total != -1 && total < first) {
			t.Errorf("%q is taken as from %d of %d", text, first, total)
		}
	})
}

// Only a strong ETag distinguishes files by their bytes.
func TestStrongETag_WeakTagsAreNotStrong(t *testing.T) {
	for tag, want := range map[string]bool{`"a"`: true, `W/"a"`: false, "": false, `""`: true} {
		if StrongETag(tag) != want {
			t.Errorf("%q is strong: %v", tag, !want)
		}
	}
}

// A validator with a line break is not sent.
func TestSendable_LineBreakIsRefused(t *testing.T) {
	for value, want := range map[string]bool{"": true, `"a é"`: true, "a\r\nX: 1": false, "a\nb": false, "\x7f": false, "\x00": false} {
		if Sendable(value) != want {
			t.Errorf("%q: %v", value, !want)
		}
	}
}

// The boot id is the one of the kernel, where it has one.
func TestBootID_IsTheKernels(t *testing.T) {
	_, err := os.Stat("/proc/sys/kernel/random/boot_id")
	if runtime.GOOS == "linux" && err != nil {
		t.Fatal(err)
	}
	if boot := BootID(); (boot != "") != (err == nil) || boot != BootID() {
		t.Errorf("%q", boot)
	}
}
