package sources

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// links are further behaviours of links and servers as people meet them.
func links() []behaviour {
	return []behaviour{
		{name: "a chain of redirects that sets cookies for two paths", verdict: "ok no ok ok", serve: cookieChain},
		{name: "a redirect deletes a cookie", serve: cookieDelete},
		{name: "a redirect sets a cookie whose domain is the address", verdict: "ok no ok ok", serve: on(func(r *http.Request) bool { return !strings.Contains(r.Header.Get("Cookie"), "k=v") }, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Set-Cookie", "k=v; Domain=127.0.0.1; Path=/")
			http.Redirect(w, r, "/file.bin", http.StatusFound)
		})},
		{name: "a redirect sets a cookie with JSON as its value", verdict: "ok no ok ok", serve: on(func(r *http.Request) bool { return !strings.Contains(r.Header.Get("Cookie"), `k={"a":"b c"}`) }, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Set-Cookie", `k={"a":"b c"}; Path=/`)
			http.Redirect(w, r, "/file.bin", http.StatusFound)
		})},
		{name: "a redirect sets a cookie with a comma and a space", verdict: "ok no ok ok", serve: on(func(r *http.Request) bool { return !strings.Contains(r.Header.Get("Cookie"), "k=a, b") }, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Set-Cookie", "k=a, b; Path=/")
			http.Redirect(w, r, "/file.bin", http.StatusFound)
		})},
		{name: "a redirect sets a cookie without a path", verdict: "ok no ok ok", path: "/a/b/file.bin", serve: on(func(r *http.Request) bool { return r.Header.Get("Cookie") == "" }, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Set-Cookie", `k=v`)
			http.Redirect(w, r, "/a/b/file.bin", http.StatusFound)
		})},
		{name: "404 that names a duplicate", verdict: "ok no ok ok", serve: duplicated(func([]byte) http.Handler { return http.HandlerFunc(status(http.StatusNotFound)) })},
		{name: "a drop halfway, then 404 that names a duplicate", verdict: "ok no ok ok", options: twoTries, serve: duplicated(func(data []byte) http.Handler { return cut(limited(1, hasBody)(data), 1) })},
		{name: "a redirect that names a duplicate, to a dead link", verdict: "ok no ok ok", serve: duplicated(func([]byte) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/file.bin" {
					http.Redirect(w, r, "/gone/file.bin", http.StatusFound)
					return
				}
				w.WriteHeader(http.StatusNotFound)
			})
		})},
		{name: "a URL whose name is in its query", verdict: "ok no ok ok", path: "/?file=file.bin", file: "index.html", serve: at("/?file=file.bin")},
		{name: "a URL with a session after its path", path: "/file.bin;jsessionid=12", file: "file.bin;jsessionid=12", serve: at("/file.bin;jsessionid=12")},
		{name: "a URL with double slashes", path: "//a//file.bin", serve: at("//a//file.bin")},
		{name: "a URL with an encoded question mark", path: "/what%3F/file.bin", serve: at("/what%3F/file.bin")},
		{name: "a URL with an encoded slash in small letters", path: "/a%2fb/file.bin", serve: at("/a%2fb/file.bin")},
		{name: "a URL with encoded letters", path: "/%66%6Flder/file.bin", serve: at("/%66%6Flder/file.bin")},
		{name: "a URL with brackets in its path", verdict: "ok no ok ok", path: "/a[1]/file.bin", serve: atPath("/a[1]/file.bin")},
		{name: "a URL with two question marks", path: "/file.bin?a=b?c=d", serve: at("/file.bin?a=b?c=d")},
		{name: "a URL with an empty user", verdict: "no ok ok ok", base: func(s string) string { return strings.Replace(s, "://", "://@", 1) }, serve: good},
		{name: "a URL whose password has an at sign", verdict: "no no ok ok", base: func(s string) string { return strings.Replace(s, "://", "://me:p@w@", 1) }, serve: on(func(r *http.Request) bool { _, p, _ := r.BasicAuth(); return p != "p@w" }, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		})},
		{name: "a head that comes byte by byte", serve: func(data []byte) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, buf, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer conn.Close()
				for _, c := range []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(data))) {
					buf.WriteByte(c)
					buf.Flush()
					<-time.After(10 * time.Millisecond)
				}
				if r.Method != http.MethodHead {
					buf.Write(data)
				}
				buf.Flush()
			})
		}},
		{name: "503 twice", verdict: "no no ok ok", serve: once(2, 503)},
		{name: "425 once", verdict: "no no ok ok", serve: once(1, 425)},
		{name: "a first response that ends after its head", verdict: "ok no ok ok", serve: func(data []byte) http.Handler {
			var n atomic.Int64
			return on(func(*http.Request) bool { return n.Add(1) == 1 }, func(w http.ResponseWriter, r *http.Request) {
				raw(w, r, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n", nil, "")
			})(data)
		}},
		{name: "a drop halfway, then 412 for each If-Range", verdict: "ok no ok ok", serve: func(data []byte) http.Handler {
			return ranged(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("If-Range") != "" {
					w.WriteHeader(http.StatusPreconditionFailed)
					return
				}
				tagOwn(data).ServeHTTP(w, r)
			}), cut(tagOwn(data), 1))
		}},
		{name: "304 once, without a question", verdict: "no no ok ok", serve: once(1, 304)},
		{name: "a location with tabs around it", serve: moved(302, "\t/real/file.bin\t", "/real/file.bin")},
		{name: "a location that is encoded twice", serve: moved(302, "/real%2520x/file.bin", "/real%2520x/file.bin")},
		{name: "a location with a semicolon", serve: moved(302, "/real;a=b/file.bin", "/real;a=b/file.bin")},
		{name: "nineteen redirects", serve: chain(19)},
		{name: "forty redirects", verdict: "no ok ok ok", serve: chain(40)},
		{name: "a redirect to a file that refuses a referer", serve: on(func(r *http.Request) bool { return r.Referer() != "" || r.URL.RawQuery == "" }, func(w http.ResponseWriter, r *http.Request) {
			if r.Referer() != "" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			http.Redirect(w, r, "/file.bin?real", http.StatusFound)
		})},
		{name: "a name in single quotes", verdict: "name ok ok ok", file: "x.bin", serve: named(`attachment; filename='x.bin'`)},
		{name: "a name by RFC 8187 without a charset", verdict: "name name ok ok", file: "x y.bin", serve: named(`attachment; filename*=x%20y.bin`)},
		{name: "a name by RFC 8187 in quotes", verdict: "name name ok ok", file: "x y.bin", serve: named(`attachment; filename*="UTF-8''x%20y.bin"`)},
		{name: "a name by RFC 8187 with a language", verdict: "ok name ok ok", file: "x y.bin", serve: named(`attachment; filename*=UTF-8'en'x%20y.bin`)},
		{name: "a name after a comma", verdict: "name name ok ok", file: "x.bin", serve: named(`attachment, filename="x.bin"`)},
		{name: "a name with one quote", verdict: "name ok ok ok", file: "x.bin", serve: named(`attachment; filename="x.bin`)},
		{name: "a name in the second of two headers", verdict: "name no ok ok", file: "x.bin", serve: head("HTTP/1.1 200 OK\r\nContent-Disposition: attachment\r\nContent-Disposition: attachment; filename=x.bin\r\nContent-Length: $LEN\r\n", "")},
		{name: "a host of two numbers", base: func(s string) string { return strings.Replace(s, "127.0.0.1", "127.1", 1) }, serve: good},
		{name: "a host that is one number", base: func(s string) string { return strings.Replace(s, "127.0.0.1", "2130706433", 1) }, serve: good},
		{name: "a host with an octal number", base: func(s string) string { return strings.Replace(s, "127.0.0.1", "0177.0.0.1", 1) }, serve: good},
	}
}

// cookieChain sets cookies on the way for two paths, and replaces one.
func cookieChain(data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Header.Get("Cookie")
		switch {
		case r.URL.Path == "/file.bin":
			w.Header().Add("Set-Cookie", "a=1; Path=/")
			w.Header().Add("Set-Cookie", "b=2; Path=/gate; HttpOnly; SameSite=Lax")
			http.Redirect(w, r, "/gate/in", http.StatusFound)
		case r.URL.Path == "/gate/in" && strings.Contains(c, "a=1") && strings.Contains(c, "b=2"):
			w.Header().Add("Set-Cookie", "a=3; Path=/; Max-Age=100")
			http.Redirect(w, r, "../real/file.bin", http.StatusSeeOther)
		case r.URL.Path == "/real/file.bin" && strings.Contains(c, "a=3") && !strings.Contains(c, "b=2"):
			good(data).ServeHTTP(w, r)
		default:
			http.Error(w, "no "+c, http.StatusForbidden)
		}
	})
}

// cookieDelete sets a cookie on the way and deletes it again.
func cookieDelete(data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Header.Get("Cookie")
		switch {
		case r.URL.Path == "/file.bin" && !strings.Contains(c, "gone="):
			w.Header().Add("Set-Cookie", "gone=1; Path=/")
			http.Redirect(w, r, "/two", http.StatusFound)
		case r.URL.Path == "/two":
			w.Header().Add("Set-Cookie", "gone=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
			http.Redirect(w, r, "/real/file.bin", http.StatusFound)
		case r.URL.Path == "/real/file.bin" && !strings.Contains(c, "gone="):
			good(data).ServeHTTP(w, r)
		default:
			http.Error(w, "no "+c, http.StatusForbidden)
		}
	})
}

// hasBody reports whether a request asks for a body.
func hasBody(r *http.Request) bool { return r.Method != http.MethodHead }

// duplicated serves the file at /copy/file.bin. All other requests get the answer of own, which
// names that as a duplicate.
func duplicated(own func(data []byte) http.Handler) func([]byte) http.Handler {
	return func(data []byte) http.Handler {
		h := own(data)
		return on(func(r *http.Request) bool { return r.URL.Path != "/copy/file.bin" }, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "<http://"+r.Host+"/copy/file.bin>; rel=duplicate; pri=1")
			h.ServeHTTP(w, r)
		})(data)
	}
}
