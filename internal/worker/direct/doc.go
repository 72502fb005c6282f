// Package direct downloads over HTTP and HTTPS with net/http, where no aria2c is
// installed.
//
// A download is written to `<name>.part`; `<name>.part.json` has its source and version,
// and `<name>.part.map` the written ranges. It continues only if the server confirms that
// version (Range with If-Range). Otherwise it starts over: a file is never a mix of two
// versions. The finished file is synced, checked and renamed. Bytes are stored as the
// server sent them: the engine requests no encoding and undoes none.
//
// The first connection decides which version is fetched. Where the task wants more,
// and the server gives ranges and a validator, others fetch further spans of the
// same version at the same time; one that fails is no failure of the download.
package direct
