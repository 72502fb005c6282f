package sources

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// requests are behaviours that depend on how a client asks.
func requests() []behaviour {
	return []behaviour{
		{name: "HEAD is answered with 404", serve: method(http.MethodHead, 404)},
		{name: "HEAD is answered with 403", serve: method(http.MethodHead, 403)},
		{name: "HEAD is answered with 405", serve: method(http.MethodHead, 405)},
		{name: "HEAD is answered with 410", serve: method(http.MethodHead, 410)},
		{name: "HEAD is answered with 500", serve: method(http.MethodHead, 500)},
		{name: "HEAD is never answered", serve: on(func(r *http.Request) bool { return r.Method == http.MethodHead }, func(_ http.ResponseWriter, r *http.Request) { hang(r) })},
		{name: "HEAD is answered with a page", serve: on(func(r *http.Request) bool { return r.Method == http.MethodHead }, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "17")
			w.Header().Set("Content-Type", "text/html")
		})},
		{name: "a range of one byte is answered with 403", serve: on(oneByte, status(403))},
		{name: "a range of one byte is answered with 404", serve: on(oneByte, status(404))},
		{name: "a range of one byte is never answered", serve: on(oneByte, func(_ http.ResponseWriter, r *http.Request) { hang(r) })},
		{name: "the link works for one request", serve: limited(1, func(*http.Request) bool { return true })},
		{name: "the link works for one GET", serve: limited(1, func(r *http.Request) bool { return r.Method == http.MethodGet })},
		{name: "net/http's user agent is answered with 403", serve: on(func(r *http.Request) bool { return strings.Contains(r.UserAgent(), "Go-http") }, status(403))},
		{name: "no user agent is answered with 403", serve: on(func(r *http.Request) bool { return r.UserAgent() == "" }, status(403))},
		{name: "a request without Accept is answered with 406", serve: on(func(r *http.Request) bool { return r.Header.Get("Accept") == "" }, status(406))},
		{name: "Accept-Encoding: identity is answered with 406", serve: on(func(r *http.Request) bool { return r.Header.Get("Accept-Encoding") == "identity" }, status(406))},
		{name: "a client that accepts metalinks gets one", verdict: "bytes ok ok ok", serve: on(func(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "metalink") }, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/metalink4+xml")
			whole(w, r, 200, []byte(`<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink"/>`))
		})},
		{name: "a redirect to itself sets a cookie", verdict: "ok no ok ok", serve: cookie("/file.bin")},
		{name: "a redirect elsewhere sets a cookie that the target wants", verdict: "ok no ok ok", serve: cookie("/real/file.bin")},
		{name: "a redirect sets a cookie with brackets in its name", verdict: "ok no ok ok", serve: on(func(r *http.Request) bool { return !strings.Contains(r.Header.Get("Cookie"), "pass[0]=1") }, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "pass[0]=1; Path=/")
			http.Redirect(w, r, "/file.bin", http.StatusFound)
		})},
		{name: "a referer is wanted", options: map[string]string{"referer": "http://page.example/"}, serve: on(func(r *http.Request) bool { return r.Referer() == "" }, status(403))},
		{name: "its own URL is wanted as the referer", verdict: "ok no ok ok", options: map[string]string{"referer": "*"}, serve: on(func(r *http.Request) bool { return r.Referer() != "http://"+r.Host+"/file.bin" }, status(403))},
		{name: "a password without a user is wanted", verdict: "no ok ok ok", base: func(s string) string { return strings.Replace(s, "://", "://:pw@", 1) }, serve: on(func(r *http.Request) bool {
			user, password, _ := r.BasicAuth()
			return user != "" || password != "pw"
		}, status(http.StatusUnauthorized))},
		{name: "a header of 16 kB is wanted", options: map[string]string{"header": "X-Token: " + strings.Repeat("t", 16<<10)}, serve: on(func(r *http.Request) bool {
			return len(r.Header.Get("X-Token")) != 16<<10
		}, status(403))},
		{name: "a user and password of the URL are wanted", base: func(s string) string { return strings.Replace(s, "://", "://me:pass%20word@", 1) }, serve: on(func(r *http.Request) bool {
			user, password, _ := r.BasicAuth()
			return user != "me" || password != "pass word"
		}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="files"`)
			w.WriteHeader(http.StatusUnauthorized)
		})},

		{name: "a user of the URL and one of the options", base: func(s string) string { return strings.Replace(s, "://", "://me:secret@", 1) }, options: map[string]string{"http-user": "you", "http-passwd": "other"}, serve: on(func(r *http.Request) bool { user, _, _ := r.BasicAuth(); return user != "me" }, status(http.StatusUnauthorized))},
		{name: "a user agent of a header and one of the options", options: map[string]string{"header": "User-Agent: own", "user-agent": "other"}, serve: on(func(r *http.Request) bool { return r.UserAgent() != "own" }, status(http.StatusForbidden))},
		{name: "a URL with raw spaces", verdict: "ok no ok ok", path: "/a b/file.bin", serve: at("/a%20b/file.bin")},
		{name: "a URL with UTF-8", verdict: "ok no ok ok", path: "/ü/file.bin", serve: at("/%C3%BC/file.bin")},
		{name: "a URL with a bare percent sign", path: "/100%/file.bin", serve: atPath("/100%/file.bin")},
		{name: "a URL with braces and a bar", verdict: "ok no ok ok", path: "/{a}|b/file.bin", serve: atPath("/{a}|b/file.bin")},
		{name: "a URL with a raw space in its query", verdict: "ok no ok ok", path: "/file.bin?q=a b", serve: at("/file.bin?q=a%20b")},
		{name: "a URL with a scheme in capitals", verdict: "no ok ok ok", base: func(s string) string { return strings.Replace(s, "http", "HTTP", 1) }, serve: good},
		{name: "a URL with a fragment", path: "/file.bin#part", serve: at("/file.bin")},
		{name: "a URL whose path is percent-encoded GBK", verdict: "name name ok ok", path: "/%D6%D0%CE%C4.zip", file: "中文.zip", serve: at("/%D6%D0%CE%C4.zip")},
		{name: "a URL whose path is percent-encoded UTF-8", verdict: "ok name ok ok", path: "/%E4%B8%AD%20x.zip", file: "中 x.zip", serve: at("/%E4%B8%AD%20x.zip")},
		{name: "a URL with a semicolon and a plus sign", path: "/a+b;c.bin", file: "a+b;c.bin", serve: at("/a+b;c.bin")},
		{name: "a URL with an encoded slash", verdict: "name name ok ok", path: "/dir%2Ffile.bin", serve: at("/dir%2Ffile.bin")},
		{name: "a URL with an encoded backslash", verdict: "name name ok ok", path: "/a%5Cb.bin", file: "a_b.bin", serve: at("/a%5Cb.bin")},
		{name: "a URL with a name of aria2's own", verdict: "name name ok ok", path: "/x.aria2", file: "x.aria2_", serve: good},
		{name: "a URL without a name", verdict: "ok no ok ok", path: "/", file: "index.html", serve: good},
		{name: "a URL with a very long query", path: "/file.bin?q=" + strings.Repeat("x", 6000), serve: good},
		{name: "a URL with an encoded control character", path: "/a%09b/file.bin", serve: at("/a%09b/file.bin")},
		{name: "a URL with dots in its path", path: "/a/../file.bin", serve: good},
	}
}

// redirects are behaviours on the way to the file.
func redirects() []behaviour {
	return []behaviour{
		{name: "300 with a location", serve: moved(300, "/real/file.bin", "/real/file.bin")},
		{name: "301", serve: moved(301, "/real/file.bin", "/real/file.bin")},
		{name: "303", serve: moved(303, "/real/file.bin", "/real/file.bin")},
		{name: "307", serve: moved(307, "/real/file.bin", "/real/file.bin")},
		{name: "308", serve: moved(308, "/real/file.bin", "/real/file.bin")},
		{name: "301 with Retry-After", serve: func(data []byte) http.Handler {
			return on(func(r *http.Request) bool { return r.URL.Path == "/file.bin" }, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "60")
				http.Redirect(w, r, "/real/file.bin", http.StatusMovedPermanently)
			})(data)
		}},
		{name: "306", verdict: "no ok ok ok", serve: moved(306, "/real/file.bin", "/real/file.bin")},
		{name: "399, which is unknown", verdict: "no ok ok ok", serve: moved(399, "/real/file.bin", "/real/file.bin")},
		{name: "305, which names a proxy", verdict: "no ok no no", serve: moved(305, "/real/file.bin", "/real/file.bin"), reason: "a server must not choose a proxy (RFC 9110, 15.4.6)"},
		{name: "a location that is empty, with the file as its body", verdict: "no ok no no", serve: head("HTTP/1.1 302 Found\r\nLocation: \r\nContent-Length: $LEN\r\n", ""), reason: "an empty location leads back to the same URL, without end"},
		{name: "a location with three slashes", verdict: "no ok ok ok", serve: moved(302, "http:///$HOST/real/file.bin", "/real/file.bin")},
		{name: "a location with backslashes", verdict: "no no ok ok", serve: moved(302, `http:\\$HOST\real\file.bin`, "/real/file.bin")},
		{name: "a location in raw Latin-1", verdict: "ok no ok ok", serve: moved(302, "/r\xe9al/file.bin", "/r%E9al/file.bin")},
		{name: "a location with raw spaces", serve: moved(302, "/real dir/file.bin", "/real%20dir/file.bin")},
		{name: "a location with UTF-8", verdict: "ok no ok ok", serve: moved(302, "/ü/file.bin", "/%C3%BC/file.bin")},
		{name: "a location with a bare percent sign", serve: movedPath(302, "/100%/file.bin", "/100%/file.bin")},
		{name: "a location that is relative", serve: moved(302, "real/file.bin", "/real/file.bin")},
		{name: "a location without a scheme", serve: moved(302, "//$HOST/real/file.bin", "/real/file.bin")},
		{name: "a location with a scheme in capitals", verdict: "no ok ok ok", serve: moved(302, "HTTP://$HOST/real/file.bin", "/real/file.bin")},
		{name: "a location with a fragment", serve: moved(302, "/real/file.bin#here", "/real/file.bin")},
		{name: "a location that is a query", verdict: "no ok ok ok", serve: moved(302, "?real=1", "/file.bin?real=1")},
		{name: "a location with white space around it", serve: moved(302, "   /real/file.bin  ", "/real/file.bin")},
		{name: "a location with dots", serve: moved(302, "/x/../real/file.bin", "/real/file.bin")},
		{name: "a location with a signature of base64", serve: moved(302, "/file.bin?sig=ab+/cd==&e=1", "/file.bin?sig=ab+/cd==&e=1")},
		{name: "a location with a colon in its first segment", verdict: "ok no ok ok", serve: moved(302, "10:30/file.bin", "/10:30/file.bin")},
		{name: "fifteen redirects", serve: chain(15)},
		{name: "a redirect to another name of the host", serve: moved(302, "http://localhost:$PORT/real/file.bin", "/real/file.bin")},
		{name: "a redirect that leads round and round", verdict: "no no no no", serve: moved(302, "/file.bin", "/nowhere")},
		{name: "a redirect without a location", verdict: "no bytes no no", serve: func([]byte) http.Handler { return http.HandlerFunc(status(302)) }},
		{name: "a signed link behind a redirect expires halfway", verdict: "ok no ok ok", serve: signed},
	}
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func oneByte(r *http.Request) bool { return r.Header.Get("Range") == "bytes=0-0" }

// on answers the requests that match otherwise than a good server.
func on(match func(*http.Request) bool, other func(http.ResponseWriter, *http.Request)) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if match(r) {
				other(w, r)
				return
			}
			good(data).ServeHTTP(w, r)
		})
	}
}

// limited serves n of the requests that count; the others get 410.
func limited(n int64, counts func(*http.Request) bool) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		var served atomic.Int64
		return on(func(r *http.Request) bool { return counts(r) && served.Add(1) > n }, status(http.StatusGone))(data)
	}
}

// cookie redirects who has no cookie to target, with one.
func cookie(target string) func([]byte) http.Handler {
	return on(func(r *http.Request) bool { _, err := r.Cookie("pass"); return err != nil }, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/file.bin" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "pass", Value: "1", Path: "/"})
		http.Redirect(w, r, target, http.StatusFound)
	})
}

// at serves the file at one request target only.
func at(target string) func([]byte) http.Handler {
	return on(func(r *http.Request) bool { return r.RequestURI != target }, status(http.StatusNotFound))
}

// atPath serves the file at one decoded path only, for those that are written in
// several ways.
func atPath(path string) func([]byte) http.Handler {
	return on(func(r *http.Request) bool { return r.URL.Path != path }, status(http.StatusNotFound))
}

func movedPath(code int, location, to string) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == to {
				good(data).ServeHTTP(w, r)
				return
			}
			moved(code, location, "")(data).ServeHTTP(w, r)
		})
	}
}

// chain redirects n times before it has the file.
func chain(n int) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			step := len(r.URL.Query().Get("s"))
			if step < n {
				http.Redirect(w, r, "/file.bin?s="+strings.Repeat("x", step+1), http.StatusFound)
				return
			}
			good(data).ServeHTTP(w, r)
		})
	}
}

// signed leads to a link that gives half of the file once and is then forbidden.
func signed(data []byte) http.Handler {
	var links atomic.Int64
	half := cut(good(data), 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch key := r.URL.Query().Get("key"); {
		case key == "":
			http.Redirect(w, r, "/file.bin?key="+time.Unix(links.Add(1), 0).UTC().Format("05"), http.StatusFound)
		case key == time.Unix(links.Load(), 0).UTC().Format("05") && r.Method == http.MethodHead:
			good(data).ServeHTTP(w, r)
		case key == time.Unix(links.Load(), 0).UTC().Format("05"):
			links.Add(1)
			half.ServeHTTP(w, r)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	})
}
