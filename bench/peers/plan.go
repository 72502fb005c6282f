package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/aria"
	"github.com/aria-cluster/dispatcher/bench/internal/asynqpeer"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
	"github.com/aria-cluster/dispatcher/bench/internal/riverpeer"
)

// The names of systems and scenarios that the goals speak of.
const (
	ariaFull, ariaMemory, ariaPostgres = "aria-full", "aria-memory", "aria-postgres"
	ariaBefore                         = "aria-full-before"
	asynqEverysec, asynqAlways, river  = "asynq-everysec", "asynq-always", "river"
	single64, single512, bulk, latency = "single-64", "single-512", "bulk-1000", "latency-200"
)

// allSystems are all that can be compared; the programs are those built by
// [build], and may be empty in a role, which only connects.
func allSystems(programs programs) []queue.System {
	ours := func(word, text, nats string, flags ...string) queue.System {
		return &aria.System{Word: word, Text: text, Dispatcher: programs.dispatcher, NATS: nats, Flags: flags, Profile: programs.profile}
	}
	full := []string{"-db-type", "sqlite", "-db-path", "bench.db", "-db-synchronous", "full"}
	return []queue.System{
		ours(ariaMemory, "ours, memory", "", "-db-type", "memory"),
		ours("aria-normal", "ours, SQLite NORMAL", "", "-db-type", "sqlite", "-db-path", "bench.db", "-db-synchronous", "normal"),
		ours(ariaFull, "ours, SQLite FULL", "", full...),
		&aria.System{
			Word: ariaBefore, Text: "ours, SQLite FULL, before", Dispatcher: programs.before, Absent: programs.noBefore,
			Flags: full, Profile: programs.profile,
		},
		ours("aria-full-nats", "ours, SQLite FULL, nats-server", programs.nats, full...),
		&aria.System{
			Word: ariaPostgres, Text: "ours, PostgreSQL", Dispatcher: programs.dispatcher, Profile: programs.profile,
			Flags: []string{"-db-type", "postgres"}, Postgres: true,
		},
		&asynqpeer.System{Fsync: "everysec"},
		&asynqpeer.System{Fsync: "always"},
		&riverpeer.System{},
	}
}

// allScenarios are all ways in which jobs come; each has at most so many, for so
// long at most.
func allScenarios(jobs int, long time.Duration) []scenario {
	return []scenario{
		{Name: single64, Title: "Full lifecycle, single submits, 64 producers", Load: load{Producers: 64, Jobs: jobs, For: long}},
		{Name: single512, Title: "Full lifecycle, single submits, 512 producers", Load: load{Producers: 512, Jobs: jobs, For: long}},
		{
			Name: bulk, Title: "Full lifecycle, 1,000 jobs a submit, 4 producers",
			Load: load{Producers: 4, Jobs: max(jobs, 1000), For: long, Bulk: 1000},
		},
		{Name: "drain", Title: "Working off a backlog", Load: load{Producers: 64, Jobs: jobs, For: long}, Backlog: true},
		{
			Name: latency, Title: "Latency from submit to worker, 200 jobs a second",
			Load: load{Producers: 64, Jobs: jobs, For: long, Rate: 200}, Tuning: queue.Tuning{Latency: true},
		},
	}
}

// find returns the system of that name.
func find(systems []queue.System, name string) (queue.System, error) {
	for _, s := range systems {
		if s.Name() == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("there is no system %q", name)
}

// choose returns those with a name in the list, which has commas; all, if it is empty.
func choose[T any](all []T, list string, name func(T) string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	var chosen []T
	for _, want := range strings.Split(list, ",") {
		i := slices.IndexFunc(all, func(x T) bool { return name(x) == want })
		if i < 0 {
			return nil, fmt.Errorf("there is no %q", want)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
