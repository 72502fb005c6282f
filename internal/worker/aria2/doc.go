// Package aria2 downloads with an aria2c that it starts, owns and supervises.
//
// A supervisor keeps the process alive: it starts aria2c with a configuration
// and a secret of its own, talks JSON-RPC to it over one WebSocket, and starts it
// again with a growing delay when it ends. Jobs live in this package; aria2c is a
// cache of them, and whatever a new aria2c lacks is added again by the next Poll.
// After a crash the jobs that ran in that aria2c are divided over processes of their
// own until the guilty one is alone: only a job that had an aria2c for itself is to
// blame for its crash (docs/adr/0008).
// Each job's gid is a hash of its task id, so that adding twice finds the first.
//
// aria2 itself goes on with any file of the same length. So the engine asks the
// server of an HTTP file for its version (ETag, date, length) before the first
// byte, keeps that beside the bytes, and asks again before it goes on with them;
// aria2c is told to send it as If-Range; and what did not come in one response is
// asked for once more at the end. A file that changed meanwhile begins anew, once
// in each aria2c, and then fails.
//
// aria2 also takes passwords, cookies and headers along with a redirect to another
// host. So a task that has any is given to it with one source at a time, once that
// has said where the file is; at another host aria2 is told nothing of them. A source
// that leads elsewhere only after that gets no connection there.
//
// What it does not guarantee: with [Config.AllowBT], and with an attached aria2c on
// another machine, such a late redirect does get its connection, and takes them along.
// Over FTP and SFTP, and where a server tells neither ETag nor date, a file that
// changed at the same length can end as a mix of both, unless the task has a checksum.
// So can the files that a metalink by URL leads to without checksums.
package aria2
