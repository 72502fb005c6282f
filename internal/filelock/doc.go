// Package filelock takes exclusive locks on open files: [TryLock] is flock(2) on
// Unix and LockFileEx on Windows. The operating system releases a lock when the
// file is closed, also when the process is killed; on Unix a child process that
// inherits the file keeps it locked.
//
// The locks are advisory, and do not work between machines on every network file
// system.
//
// [SyncDir] makes the names in a folder durable.
package filelock
