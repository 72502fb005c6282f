// Package aria2 downloads with an aria2c that it starts, owns and supervises.
//
// A supervisor starts aria2c with a separate configuration and secret, sends JSON-RPC
// over one WebSocket, and restarts aria2c with a growing delay when it ends. The jobs are
// kept in this package and aria2c is a cache of them: the next Poll adds the jobs that a
// new aria2c lacks. After a crash the jobs of that aria2c are divided over separate
// processes until the cause is alone: a crash counts only against a job that was alone in
// its aria2c (docs/adr/0008). Each job's gid is a hash of its task id, so that a repeated
// add finds the first.
//
// aria2 itself combines the bytes of several sources of one length. So it gets several
// only if a checksum verifies the file, or if all have the same strong ETag, date and
// length; otherwise one at a time.
//
// It also continues any file of the same length. So the engine asks the server of an
// HTTP file for its version (ETag, date, length) before the first byte, stores it beside
// the bytes, and asks again before it continues. aria2c sends the version as If-Range. At
// the end the engine asks again for the version of a file that came in several responses.
// A file that changed meanwhile is started over, once in each aria2c, and then fails.
//
// aria2c takes the end of an FTP transfer for the end of the file. So the engine asks the server
// for the length of a finished file; one that is too short is started over, once.
//
// aria2 also sends passwords, cookies and headers with a redirect to another host. So
// aria2 gets a task that has any with one source at a time, after a probe has found the
// host of the file. For another host it gets the task without them, and where no proxy
// confines it, also for a URL of the task's own server that another host has led to. A
// redirect that begins after the probe gets no connection.
//
// It keeps the cookies that servers set, and sends them with every download. So each client's jobs
// have an aria2c of their own (docs/adr/0015).
//
// Limits: an attached aria2c shares these cookies among all clients. With one on another
// machine such a late redirect, and a source that a server names by "Link: <URL>;
// rel=duplicate", gets its connection and the credentials. From one source over FTP and SFTP,
// and from a server that sends neither ETag nor date, a file that changed at the same length can
// become a mix of both versions, unless the task has a checksum. So can a file of a metalink
// without one.
package aria2
