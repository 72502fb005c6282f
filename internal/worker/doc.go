// Package worker is a node: it holds the tasks that the dispatcher gives it, has
// an engine fetch them, puts finished files into their place, and says so until
// it is answered.
//
// One goroutine, the loop, owns all state. Whatever may take long (the engine,
// the link, moving files, measuring the machine) runs beside it and hands its
// outcome back, so that heartbeats go on whatever else hangs. The loop works by
// levels: what is held is compared with what the engine has, at least once a
// second, and the difference is made up; a lost message or a restarted aria2c
// only costs time.
//
// The journal, one file a task, is the truth of what is held. It is written
// before anything is said or done that rests on it, so that a worker that is
// killed at any moment goes on where it was. See [Config] for the folders.
package worker
