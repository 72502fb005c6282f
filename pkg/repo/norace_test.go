//go:build !race

package repo_test

const chainTasks = 20_000
