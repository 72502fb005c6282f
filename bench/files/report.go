package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/aria-cluster/dispatcher/bench/internal/figures"
	"github.com/aria-cluster/dispatcher/bench/internal/proc"
)

// report prints the figures of a run.
type report struct {
	lists   []list
	systems []system
	rounds  int
	busy    string // load average before
	results []result
}

// of returns a figure of a system in a list, in the order of the rounds.
func (rep *report) of(system, list string, figure func(*result) float64) []float64 {
	matches := func(r *result) bool { return r.System == system && r.List == list }
	return figures.Of(rep.results, matches, figure)
}

func filesPerSec(r *result) float64 { return r.FilesPerSec }

func cpuOf(process string) func(*result) float64 {
	return func(r *result) float64 { return r.CPU[process] }
}

// print prints the tables, and returns whether all goals were reached.
func (rep *report) print(out io.Writer, calls bool) bool {
	fmt.Fprintf(out, "%s, %d cores, load average %s before; %d rounds, medians\n", proc.Processor(), cores(), rep.busy, rep.rounds)
	for _, l := range rep.lists {
		fmt.Fprintf(out, "\n## %s\n\n", l.heading())
		if calls {
			rep.printCalls(out, l)
			continue
		}
		rep.printList(out, l)
	}
	return calls || rep.printGoals(out)
}

func (rep *report) printList(out io.Writer, l list) {
	fmt.Fprintln(out, "| | files/s | MB/s | seconds | ms of processor a file: client | its aria2c | dispatcher | nginx | requests a file | bytes over the wire a file |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, s := range rep.systems {
		client := cpuOf(s.Name())
		if s.Ours() {
			client = cpuOf("worker")
		}
		fmt.Fprintf(out, "| %s |", s.Title())
		for _, figure := range []struct {
			format string
			of     func(*result) float64
		}{
			{"%.0f", filesPerSec},
			{"%.0f", func(r *result) float64 { return r.MBPerSec }},
			{"%.2f", func(r *result) float64 { return r.Seconds }},
			{"%.2f", client}, {"%.2f", cpuOf("its aria2c")}, {"%.2f", cpuOf("dispatcher")}, {"%.2f", cpuOf("nginx")},
			{"%.2f", func(r *result) float64 { return r.Requests }},
			{"%.0f", func(r *result) float64 { return r.Wire }},
		} {
			fmt.Fprintf(out, " "+figure.format+" |", figures.Median(rep.of(s.Name(), l.name, figure.of)))
		}
		fmt.Fprintln(out)
	}
}

// counted are the system calls of the table.
var counted = []string{"fsync", "fdatasync", "openat", "renameat", "renameat2", "linkat", "mkdirat", "unlinkat", "write", "pwrite64", "read", "connect", "futex"}

func (rep *report) printCalls(out io.Writer, l list) {
	fmt.Fprintf(out, "| calls a file | %s |\n|---|%s\n", strings.Join(counted, " | "), strings.Repeat("---:|", len(counted)))
	for _, s := range rep.systems {
		fmt.Fprintf(out, "| %s |", s.Title())
		for _, name := range counted {
			fmt.Fprintf(out, " %.2f |", figures.Median(rep.of(s.Name(), l.name, func(r *result) float64 { return r.Calls[name] })))
		}
		fmt.Fprintln(out)
	}
}

// goal is what a system must reach in comparison with another one, or by itself.
type goal struct {
	list, system, than string
	least              float64 // of files/s, as a multiple
}

var goals = []goal{
	{"small", "direct", "aria2c", 2},
	{"small", "aria2", "aria2c", 0.8},
	{"medium", "direct", "aria2c", 0.95},
	{"medium", "aria2", "aria2c", 0.95},
	{"large", "aria2", "aria2c", 0.95},
	{"large", "direct", "curl", 0.85},
}

// maxWorkerCPU is the goal for the worker's own processor time for a small file, in ms.
const maxWorkerCPU = 1.0

// printGoals compares the medians of the ratios of the rounds with the goals.
func (rep *report) printGoals(out io.Writer) bool {
	reached := true
	line := func(what string, measured float64, sign string, wanted float64, ok bool) {
		verdict := "reached"
		if !ok {
			verdict, reached = "NOT REACHED", false
		}
		fmt.Fprintf(out, "| %s | %.2f | %s %g | %s |\n", what, measured, sign, wanted, verdict)
	}
	fmt.Fprintln(out, "\n| goal | measured | wanted | |\n|---|---:|---:|---|")
	for _, g := range goals {
		if ratio := figures.Median(rep.ratios(g)); ratio > 0 {
			line(g.list+", "+g.system+" ÷ "+g.than, ratio, "≥", g.least, ratio >= g.least)
		}
	}
	for _, system := range []string{"direct", "aria2"} {
		if ms := figures.Median(rep.of(system, "small", cpuOf("worker"))); ms > 0 {
			line("small, "+system+": worker's own ms a file", ms, "≤", maxWorkerCPU, ms <= maxWorkerCPU)
		}
	}
	return reached
}

// ratios returns the ratio of each round.
func (rep *report) ratios(g goal) []float64 {
	ours, others := rep.of(g.system, g.list, filesPerSec), rep.of(g.than, g.list, filesPerSec)
	var all []float64
	for i := range min(len(ours), len(others)) {
		all = append(all, ours[i]/others[i])
	}
	return all
}
