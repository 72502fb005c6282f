//go:build soak

package chaos

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// run is what a report says beside the faults.
type run struct {
	seed     uint64
	duration time.Duration
	ended    map[model.Status]int // hostile tasks
	innocent int
}

// report returns the outcome as Markdown.
func (j *judge) report(r run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Seed %d, %v of faults, %s, commit %s, %s, %d processors, %s.\n\n", r.seed, r.duration,
		time.Now().UTC().Format(time.DateOnly), output("git", "describe", "--always", "--dirty"), output("uname", "-sm"), runtime.NumCPU(), runtime.Version())
	fmt.Fprintf(&b, "%d innocent tasks, %d of them with losses. %d hostile tasks: %d completed, %d failed, as their servers allow.\n\n",
		r.innocent, j.lost, r.ended[model.StatusCompleted]+r.ended[model.StatusFailed], r.ended[model.StatusCompleted], r.ended[model.StatusFailed])
	b.WriteString("| fault | times | innocent tasks hit | their failures | their losses | longest recovery |\n|---|---:|---:|---:|---:|---:|\n")
	for _, k := range kinds {
		times, hit, longest := 0, 0, time.Duration(0)
		for _, f := range j.faults {
			if f.kind == k.kind {
				times++
				hit += len(f.hit)
				longest = max(longest, f.recovered.Sub(f.ended))
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %.1f s |\n", k.kind, times, hit, j.failures[k.kind], j.losses[k.kind], longest.Seconds())
	}
	return b.String()
}

// output is what a command prints, without the end of line.
func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
