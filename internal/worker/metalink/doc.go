// Package metalink reads metalinks of version 3 and 4 (RFC 5854) and writes them as
// aria2 1.36 understands them. It is pure: it fetches nothing and checks no file.
package metalink
