//go:build race

package repo_test

// chainTasks is small where the race detector makes SQLite ten times as slow.
const chainTasks = 3000
