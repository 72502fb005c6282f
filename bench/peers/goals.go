package main

import (
	"fmt"
	"io"

	"github.com/aria-cluster/dispatcher/bench/internal/figures"
)

// goal is what a comparison should show.
type goal struct {
	text   string
	figure func(*report) float64 // 0: not measured
	least  float64               // 0: no bound
	most   float64               // 0: no bound
}

// faster is a goal: ours does at least so many times the jobs of a peer.
func faster(ours, theirs, scenario string, least float64) goal {
	return goal{
		text: fmt.Sprintf("%s: jobs/s of %s ÷ %s", scenario, ours, theirs), least: least,
		figure: func(rep *report) float64 { return rep.ratio(ours, theirs, scenario, rate) },
	}
}

// goals are what we want to be true.
func goals() []goal {
	list := []goal{
		faster(ariaFull, asynqEverysec, single64, 1.8),
		faster(ariaFull, ariaBefore, single64, 1.4),
		faster(ariaFull, river, single64, 4),
		faster(ariaFull, asynqAlways, single64, 5),
		faster(ariaFull, asynqEverysec, single512, 2.6),
		faster(ariaMemory, asynqEverysec, single512, 4),
		faster(ariaFull, river, bulk, 2.2),
		faster(ariaPostgres, river, single64, 3),
		faster(ariaPostgres, river, bulk, 2),
		{
			text: single64 + ": processor time a job of the dispatcher, " + ariaFull + " ÷ " + ariaBefore, most: 0.7,
			figure: func(rep *report) float64 { return rep.ratio(ariaFull, ariaBefore, single64, dispatcherCPU) },
		},
		{
			text: latency + ": p50 of " + ariaFull + ", ms", most: 1.5,
			figure: func(rep *report) float64 { return figures.Median(rep.of(ariaFull, latency, p50)) },
		},
	}
	for _, peer := range []string{asynqEverysec, asynqAlways, river} {
		list = append(list,
			goal{
				text: latency + ": p50 of " + ariaFull + " ÷ " + peer, most: 1,
				figure: func(rep *report) float64 { return rep.ratio(ariaFull, peer, latency, p50) },
			},
			goal{
				text: latency + ": p99 of " + ariaFull + " ÷ " + peer, most: 1,
				figure: func(rep *report) float64 { return rep.ratio(ariaFull, peer, latency, p99) },
			})
	}
	return list
}

// printGoals prints which goals are reached, and returns whether all are that were
// measured.
func (rep *report) printGoals(w io.Writer) bool {
	fmt.Fprintf(w, "\n## Goals\n\n| | measured | wanted | |\n|---|---:|---:|---|\n")
	all := true
	for _, g := range goals() {
		x := g.figure(rep)
		wanted, reached := fmt.Sprintf("≥ %.1f", g.least), x >= g.least
		if g.most > 0 {
			wanted, reached = fmt.Sprintf("≤ %.1f", g.most), x <= g.most
		}
		verdict := "reached"
		switch {
		case x == 0:
			verdict = "not measured"
		case !reached:
			verdict, all = "NOT REACHED", false
		}
		fmt.Fprintf(w, "| %s | %.2f | %s | %s |\n", g.text, x, wanted, verdict)
	}
	return all
}
