package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/figures"
	"github.com/aria-cluster/dispatcher/bench/internal/proc"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// report holds the measurements and prints them as tables in Markdown.
type report struct {
	systems   []queue.System
	scenarios []scenario
	rounds    int
	long      time.Duration
	busy      string // load average before the first round
	results   []result
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Figures that a result has.
func rate(r *result) float64 { return r.Rate }
func p50(r *result) float64  { return ms(r.P50) }
func p99(r *result) float64  { return ms(r.P99) }

// dispatcherCPU is the processor time of the dispatcher, microseconds a job.
func dispatcherCPU(r *result) float64 { return r.CPU["dispatcher"] }

// of returns a figure of a system in a scenario, in the order of the rounds.
func (rep *report) of(system, scenario string, figure func(*result) float64) []float64 {
	matches := func(r *result) bool { return r.System == system && r.Scenario == scenario }
	return figures.Of(rep.results, matches, figure)
}

// ratio is the median of how often ours goes into theirs, round by round, and not
// the ratio of the medians: both of a pair were measured in the same minute.
func (rep *report) ratio(ours, theirs, scenario string, figure func(*result) float64) float64 {
	a, b := rep.of(ours, scenario, figure), rep.of(theirs, scenario, figure)
	if len(a) != len(b) {
		return 0
	}
	list := make([]float64, len(a))
	for i := range a {
		list[i] = a[i] / b[i]
	}
	return figures.Median(list)
}

// conditions states the time, the machine and the number of the measurements.
func (rep *report) conditions() string {
	return fmt.Sprintf("%s, %s/%s, %d × %s, load average before it %s, %d rounds of %v at most",
		time.Now().UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), proc.Processor(), rep.busy, rep.rounds, rep.long)
}

// print prints everything, and returns whether all goals were reached.
func (rep *report) print(w io.Writer) bool {
	fmt.Fprintf(w, "# Beside asynq and River\n\nWritten by `task bench:peers`. %s, one after the other on the same machine.\n", rep.conditions())
	for _, sc := range rep.scenarios {
		fmt.Fprintf(w, "\n## %s\n\n", sc.Title)
		if sc.Load.Rate > 0 {
			rep.printLatency(w, sc)
		} else {
			rep.printRates(w, sc)
		}
		rep.printCosts(w, sc)
	}
	return rep.printGoals(w)
}

// measured are the systems that have figures in a scenario.
func (rep *report) measured(sc scenario) []queue.System {
	return slices.DeleteFunc(slices.Clone(rep.systems), func(s queue.System) bool {
		return len(rep.of(s.Name(), sc.Name, rate)) == 0
	})
}

func (rep *report) printRates(w io.Writer, sc scenario) {
	fmt.Fprintln(w, "| | jobs/s, median | min – max | SQLite FULL is × | memory is × | p50 from submit to worker, ms |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|")
	for _, s := range rep.measured(sc) {
		list, wait := rep.of(s.Name(), sc.Name, rate), ""
		if !sc.Backlog {
			wait = fmt.Sprintf("%.1f", figures.Median(rep.of(s.Name(), sc.Name, p50)))
		}
		fmt.Fprintf(w, "| %s | %.0f | %.0f – %.0f | %s | %s | %s |\n", s.Title(), figures.Median(list), slices.Min(list), slices.Max(list),
			times(rep.ratio(ariaFull, s.Name(), sc.Name, rate)), times(rep.ratio(ariaMemory, s.Name(), sc.Name, rate)),
			wait)
	}
}

func (rep *report) printLatency(w io.Writer, sc scenario) {
	fmt.Fprintln(w, "| | p50 ms, median | min – max | p99 ms, median | min – max |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|")
	for _, s := range rep.measured(sc) {
		a, b := rep.of(s.Name(), sc.Name, p50), rep.of(s.Name(), sc.Name, p99)
		fmt.Fprintf(w, "| %s | %.2f | %.2f – %.2f | %.2f | %.2f – %.2f |\n", s.Title(),
			figures.Median(a), slices.Min(a), slices.Max(a), figures.Median(b), slices.Min(b), slices.Max(b))
	}
}

func times(x float64) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", x)
}

// printCosts prints what each process cost, medians.
func (rep *report) printCosts(w io.Writer, sc scenario) {
	fmt.Fprintln(w, "\n| | CPU, µs a job | of that | peak memory, MiB |")
	fmt.Fprintln(w, "|---|---:|---|---|")
	for _, s := range rep.measured(sc) {
		var names []string
		for i := range rep.results {
			if r := &rep.results[i]; r.System == s.Name() && r.Scenario == sc.Name {
				for name := range r.CPU {
					if !slices.Contains(names, name) {
						names = append(names, name)
					}
				}
			}
		}
		slices.Sort(names)
		var cpu, memory []string
		for _, name := range names {
			cpu = append(cpu, fmt.Sprintf("%s %.0f", name, figures.Median(rep.of(s.Name(), sc.Name, func(r *result) float64 { return r.CPU[name] }))))
			memory = append(memory, fmt.Sprintf("%s %.0f", name, figures.Median(rep.of(s.Name(), sc.Name, func(r *result) float64 { return float64(r.Memory[name]) / (1 << 20) }))))
		}
		total := figures.Median(rep.of(s.Name(), sc.Name, func(r *result) (sum float64) {
			for _, c := range r.CPU {
				sum += c
			}
			return sum
		}))
		fmt.Fprintf(w, "| %s | %.0f | %s | %s |\n", s.Title(), total, strings.Join(cpu, ", "), strings.Join(memory, ", "))
	}
}
