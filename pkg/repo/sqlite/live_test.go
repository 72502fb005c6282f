package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLive_EachTaskOnceInOrder: live gives each task of each page once and in order.
func TestLive_EachTaskOnceInOrder(t *testing.T) {
	for _, n := range []int64{livePage - 1, livePage, livePage + 1, 2 * livePage, 2*livePage + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "a.db"), Synchronous: Normal})
			fillStore(t, s, 1, n)
			var got, want []int64
			for task, err := range s.Live(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, task.Seq)
			}
			for seq := range n {
				want = append(want, seq+1)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d tasks of %d", len(got), n)
			}
		})
	}
}

// TestLive_CanceledReadReturnsError: a live read that is canceled ends with an error.
func TestLive_CanceledReadReturnsError(t *testing.T) {
	s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "a.db"), Synchronous: Normal})
	const n = 4*livePage + 1
	fillStore(t, s, 1, n)
	for _, after := range []int{1, livePage, 2 * livePage, n} {
		ctx, cancel := context.WithCancel(t.Context())
		read, last := 0, error(nil)
		for task, err := range s.Live(ctx) {
			if last = err; task != nil {
				read++
			}
			if read == after {
				cancel()
			}
		}
		cancel()
		if last == nil || read < after {
			t.Errorf("canceled after %d of %d: %d read, and the end is %v", after, n, read, last)
		}
	}
}

// TestLive_UnreadableRowIsNamed: a live row with the separator of columns in a text ends the
// read with its name.
func TestLive_UnreadableRowIsNamed(t *testing.T) {
	for change, want := range map[string]string{
		"url = 'a' || char(30) || 'b'":                                     "task with seq 3: ",
		"url = 'a' || char(30) || '!' || char(30) || '1'":                  "task with seq 3: ",
		"url = 'a' || replace('/c/pending///2/2/4/5/t2/b', '/', char(30))": "task with seq 2: it comes after one with seq 3",
		"client = char(30)":                                                "task with seq ",
	} {
		s := mustOpen(t, Config{Path: filepath.Join(t.TempDir(), "a.db"), Synchronous: Normal})
		fillStore(t, s, 1, 5)
		if _, err := s.w.conn.ExecContext(t.Context(), "UPDATE tasks SET "+change+" WHERE seq = 3"); err != nil {
			t.Fatal(err)
		}
		var read int
		var last error
		for task, err := range s.Live(t.Context()) {
			if last = err; task != nil {
				read++
			}
		}
		if last == nil || !strings.Contains(last.Error(), want) || read > 4 {
			t.Errorf("%s: %d tasks, and the end is %v", change, read, last)
		}
	}
}
