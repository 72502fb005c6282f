// Package direct downloads over HTTP and HTTPS with net/http, where no aria2c is
// installed.
//
// A download grows in `<name>.part`; `<name>.part.json` beside it says which
// version of which source that is. It goes on from there only if the server
// confirms that version (Range with If-Range), else it begins anew: a file is
// never a mix of two versions. The finished file is synced, checked and renamed
// to its name. Bytes are kept as the server sent them: no encoding is asked for,
// and none is undone.
package direct
