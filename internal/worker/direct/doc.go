// Package direct downloads over HTTP and HTTPS with net/http, where no aria2c is
// installed.
//
// A download grows in `<name>.part`; `<name>.part.json` beside it says which
// version of which source that is, and `<name>.part.map` which bytes are there. It
// goes on from there only if the server confirms that version (Range with
// If-Range), else it begins anew: a file is never a mix of two versions. The
// finished file is synced, checked and renamed to its name. Bytes are kept as the
// server sent them: no encoding is asked for, and none is undone.
//
// The first connection decides which version is fetched. Where the task wants more,
// and the server gives ranges and a validator, others fetch further spans of the
// same version at the same time; one that fails is no failure of the download.
package direct
