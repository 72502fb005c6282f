package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// killed names the file in the environment of the process that is killed.
const killed = "ARIA_TEST_KILLED_STORE"

// kills is how often the process is killed while it commits.
const kills = 100

// TestStore_AcknowledgedTasksSurviveKills kills a process a hundred times while it
// commits, each time at another moment. The tasks that it had acknowledged are there,
// nothing is there by half, and the file is whole.
func TestStore_AcknowledgedTasksSurviveKills(t *testing.T) {
	if path := os.Getenv(killed); path != "" {
		commitUntilKilled(t, path)
		return
	}
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "d.db")
	var acknowledged int64
	began := 0
	for round := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestStore_AcknowledgedTasksSurviveKills$", "-test.count=1")
		cmd.Env = append(os.Environ(), killed+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		words := bufio.NewScanner(out)
		// The moment is counted from its first commit on; some rounds end in
		// the opening, before it.
		kill := func() { _ = cmd.Process.Kill() }
		timer := time.AfterFunc(20*time.Second, kill)
		if round%10 == 9 {
			timer.Reset(time.Duration(rand.IntN(30_000)) * time.Microsecond)
		}
		first := true
		for words.Scan() {
			var seq int64
			if _, err := fmt.Sscanf(words.Text(), "committed %d", &seq); err != nil {
				t.Fatalf("round %d: the process says %q", round, words.Text())
			}
			acknowledged = seq
			if first {
				first = false
				began++
				timer.Reset(time.Duration(rand.IntN(20_000)) * time.Microsecond)
			}
		}
		timer.Stop()
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("round %d: the process was not killed: %v", round, err)
		}
		if round%10 == 0 || round == kills-1 { // the rest is checked by the next process's start
			report, err := Verify(ctx, path)
			if err != nil || !report.OK() || report.Tasks < acknowledged || report.Tasks%3 != 0 {
				t.Fatalf("round %d, %d acknowledged: %+v, %v", round, acknowledged, report, err)
			}
		}
	}
	if began < kills/2 || acknowledged < kills {
		t.Errorf("only %d processes committed, %d tasks in all: this tests too little", began, acknowledged)
	}
	s := mustOpen(t, Config{Path: path})
	ids := idsOf(t, s)
	for i, id := range ids {
		if id != fmt.Sprintf("t%d", i+1) {
			t.Fatalf("task %d of %d is %s", i+1, len(ids), id)
		}
	}
}

// commitUntilKilled commits three tasks at a time and prints them, without end. It
// opens the store as a dispatcher does, which checks the file.
func commitUntilKilled(t *testing.T, path string) {
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.LastSeq(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for seq := last; ; seq += 3 {
		b := &model.Batch{}
		for i := int64(1); i <= 3; i++ {
			b.Tasks = append(b.Tasks, pending(fmt.Sprintf("t%d", seq+i), seq+i))
		}
		if err := s.Commit(ctx, b); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(os.Stdout, "committed %d\n", seq+3)
	}
}
