// Package worker is a node: it holds the tasks that the dispatcher assigns, downloads
// them with an engine, places the finished files, and repeats each report until it is
// acknowledged.
//
// One goroutine, the loop, owns all state. Slow work (the engine, the link, moving files,
// measuring the machine) runs in other goroutines, which return their outcome to the
// loop. So heartbeats continue even if other work hangs. At least once a second the loop
// reconciles the tasks with the jobs of the engine. So a lost message or a restarted
// aria2c costs only time.
//
// The journal, one log, is the truth about the held tasks. The worker writes it
// before it acts or reports. So a worker that is killed at any moment continues at the
// next start. See [Config] for the folders.
package worker
