package aria2

import (
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// otherHost is another host with the file, for which the task has no credentials.
type otherHost struct {
	*downloadtest.Server
	mu   sync.Mutex
	told []string // what it was told nevertheless
}

func newOtherHost(t *testing.T, data []byte) *otherHost {
	t.Helper()
	return otherHostWith(t, downloadtest.Content(data))
}

// otherHostWith is another host with other responses.
func otherHostWith(t *testing.T, h http.Handler) *otherHost {
	t.Helper()
	o := &otherHost{}
	o.Server = downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Authorization", "Cookie", "X-Token", "Referer"} {
			if v := r.Header.Get(name); v != "" {
				o.mu.Lock()
				o.told = append(o.told, r.Method+" "+name+": "+v)
				o.mu.Unlock()
			}
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if len(o.told) > 0 {
			t.Errorf("another host is told %q", o.told)
		}
	})
	return o
}

// with puts a user and password into a URL.
func with(userinfo, url string) string {
	return strings.Replace(url, "http://", "http://"+userinfo+"@", 1)
}

// bothAtOnce are the options of a task that aria2c fetches from its mirror too, from
// the beginning.
var bothAtOnce = []string{"split", "4", "max-connection-per-server", "4", "min-split-size", "1M"}

// The credentials of a task do not follow a redirect of a mirror.
func TestSecrets_DoNotFollowAMirrorsRedirect(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		option, value string
		url, mirror   string // users and passwords
	}{
		"a password":                    {option: "http-user", value: "me"},
		"a header":                      {option: "header", value: "X-Token: t"},
		"the page that it came from":    {option: "referer", value: "http://inner.example/?session=1"},
		"a password in the URL":         {url: "me:secret"},
		"a password in the mirror":      {mirror: "me:secret"},
		"passwords in both, and a HEAD": {url: "me:secret", mirror: "you:secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := downloadtest.Data(4 << 20)
			other := newOtherHost(t, data)
			var throttle downloadtest.Throttle
			throttle.Set(4 << 20)
			own := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
			lead := downloadtest.Serve(t, http.RedirectHandler(other.URL+"/file", http.StatusFound))
			e := newAria2(t, t.TempDir())
			job := downloadtest.Job(t, "mirrored", own.URL+"/file", bothAtOnce...)
			job.Task.Mirrors = []string{lead.URL + "/file"}
			if c.url != "" {
				job.Task.URL = with(c.url, job.Task.URL)
			}
			if c.mirror != "" {
				job.Task.Mirrors[0] = with(c.mirror, job.Task.Mirrors[0])
			}
			if c.option != "" {
				job.Task.Options[c.option] = model.OptionValue{c.value}
			}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
		})
	}
}

// aria2c sends nothing to a server that fails the probe and then redirects to another
// host.
func TestSecrets_FailedProbeMeansNoRequest(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(100_000)
	other := newOtherHost(t, data)
	lead := http.RedirectHandler(other.URL+"/file", http.StatusFound)
	for name, c := range map[string]struct {
		statuses []int
		tries    string
		code     int // of the failure; 0: it completes
		class    model.Class
	}{
		"ill for two requests, asked thrice":  {[]int{503, 500}, "3", 0, ""},
		"ill for two requests, asked twice":   {[]int{503, 500}, "2", 22, model.ClassRetryable},
		"asked too often, which it says once": {[]int{429}, "5", 22, model.ClassRetryable},
		"the file is not there":               {[]int{404}, "5", 3, model.ClassPermanent},
		"the password is wrong":               {[]int{401}, "5", 24, model.ClassPermanent},
		"not for this worker":                 {[]int{403}, "5", 22, model.ClassWorker},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := downloadtest.Serve(t, downloadtest.FirstAnswer(lead, c.statuses...))
			e := newAria2(t, t.TempDir())
			job := downloadtest.Job(t, "ill", with("me:secret", s.URL)+"/file", "max-tries", c.tries, "header", "X-Token: t")
			downloadtest.Add(t, e, job)
			if c.code == 0 {
				downloadtest.MustComplete(t, e, job, data)
				return
			}
			if err := downloadtest.MustFail(t, e, "ill"); err.Code != c.code || err.Class != c.class {
				t.Errorf("%+v, want code %d, %s", err, c.code, c.class)
			}
		})
	}
	t.Run("nobody is there", func(t *testing.T) {
		s := downloadtest.Serve(t, lead)
		s.Close()
		e := newAria2(t, t.TempDir())
		downloadtest.Add(t, e, downloadtest.Job(t, "gone", with("me:secret", s.URL)+"/file", "max-tries", "2"))
		if err := downloadtest.MustFail(t, e, "gone"); err.Class != model.ClassRetryable || strings.Contains(err.Message, "secret") {
			t.Errorf("%+v", err)
		}
	})
}

// A source that answers the probe with a wait is asked for nothing more in the attempt,
// and the failure has the wait.
func TestProbe_RetryAfterEndsTheAttempt(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	e := newAria2(t, t.TempDir())
	for id, url := range map[string]string{"limited": s.URL, "confides": with("me:secret", s.URL)} {
		asked.Store(0)
		downloadtest.Add(t, e, downloadtest.Job(t, id, url+"/file"))
		err := downloadtest.MustFail(t, e, id)
		if err.HTTPStatus != 429 || err.RetryAfter < 115 || err.RetryAfter > 120 || asked.Load() != 1 {
			t.Errorf("%s: %+v after %d requests", id, err, asked.Load())
		}
	}
}

// A redirect that begins after the probe receives nothing.
func TestSecrets_LateRedirectReceivesNothing(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(100_000)
	other := newOtherHost(t, data)
	var asked atomic.Int64
	lead := http.RedirectHandler(other.URL+"/file", http.StatusFound)
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			downloadtest.Content(data).ServeHTTP(w, r)
			return
		}
		lead.ServeHTTP(w, r)
	}))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "led", s.URL+"/file", "header", "X-Token: t", "max-tries", "1")
	downloadtest.Add(t, e, job)
	err := downloadtest.MustFail(t, e, "led")
	if err.Class != model.ClassRetryable || !strings.Contains(err.Message, "leads there now") {
		t.Errorf("%+v", err)
	}
	if asked.Load() < 2 {
		t.Error("aria2c did not ask")
	}
	downloadtest.Remove(t, e, "led")
	downloadtest.Add(t, e, job) // now the probe sees it
	downloadtest.MustComplete(t, e, job, data)
}

// The server of a source is also reached over HTTPS, if it may redirect there.
func TestSecrets_RedirectToHTTPSIsAllowed(t *testing.T) {
	for source, want := range map[string][]string{
		"http://a/f":                   {"a:80", "a:443"},
		"http://me:pw@a:8080/f":        {"a:8080"},
		"HTTP://[2001:db8::1]/f":       {"[2001:db8::1]:80", "[2001:db8::1]:443"},
		"http://A:80/f":                {"A:80", "A:443"},
		"http://a:443/f":               {"a:443"},
		"https://me:pw@a/f?u=http://b": {"a:443"},
		"https://[2001:db8::1]:8443/f": {"[2001:db8::1]:8443"},
	} {
		if got := originAddresses(source); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}

// A mirror replaces a failed source also for a task with a password.
func TestSecrets_MirrorReplacesAFailedSource(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(300_000)
	good := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := r.BasicAuth(); user != "me" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		downloadtest.Content(data).ServeHTTP(w, r)
	}))
	// It answers who asks for one byte, and breaks off what is longer at once.
	short := downloadtest.Cut(downloadtest.Content(data), 2, -1)
	for name, h := range map[string]http.Handler{
		"whose URL is gone":       http.NotFoundHandler(),
		"whose server is ill":     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }),
		"whose server breaks off": short,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := downloadtest.Serve(t, h)
			e := newAria2(t, t.TempDir())
			job := downloadtest.Job(t, "helped", first.URL+"/file", "http-user", "me", "http-passwd", "pw", "max-tries", "2")
			job.Task.Mirrors = []string{good.URL + "/file"}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			if first.Requests.Load() == 0 {
				t.Error("the first server was not asked at all")
			}
		})
	}
}

// The credentials of a task are sent again where a redirect to another host has led back.
func TestSecrets_ReturnToTheirServer(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(100_000)
	e := newAria2(t, t.TempDir())
	for name, userinfo := range map[string]string{"a-header": "", "a-password-in-the-url": "me:pw"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var home *downloadtest.Server
			login := otherHostWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, home.URL+"/file?ticket", http.StatusFound)
			}))
			home = downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Header.Get("Authorization") == "" && r.Header.Get("X-Token") == "":
					w.WriteHeader(http.StatusUnauthorized)
				case r.URL.RawQuery == "":
					http.Redirect(w, r, login.URL, http.StatusFound)
				default:
					downloadtest.Content(data).ServeHTTP(w, r)
				}
			}))
			job := downloadtest.Job(t, name, home.URL+"/file")
			if userinfo != "" {
				job.Task.URL = with(userinfo, job.Task.URL)
			} else {
				job.Task.Options["header"] = model.OptionValue{"X-Token: t"}
			}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
		})
	}
}

// A URL that a redirect to another host has led back to, and that leads there again because it works
// only once, tells the other host nothing, however aria2c is run.
func TestSecrets_TicketForOneRequest(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(100_000)
	for name, c := range map[string]struct {
		allowBT  bool
		attached string // the host of an attached aria2c
		fails    bool   // aria2c gets the credentials, and no connection to the other host
	}{
		"its own aria2c":                     {fails: true},
		"its own aria2c, with allow_bt":      {allowBT: true, fails: true},
		"attached":                           {attached: "127.0.0.1", fails: true},
		"attached, with allow_bt":            {attached: "127.0.0.1", allowBT: true, fails: true},
		"attached, as if on another machine": {attached: "0.0.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var home *downloadtest.Server
			var tickets, used, disclosed, bare atomic.Int64
			login := otherHostWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, home.URL+"/file?"+strconv.FormatInt(tickets.Add(1), 10), http.StatusFound)
			}))
			home = downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				number, err := strconv.ParseInt(r.URL.RawQuery, 10, 64) // of the ticket
				authorized := r.Header.Get("X-Token") != "" && r.Header.Get("Authorization") != ""
				isAria2 := number > 0 && r.Header.Get("Want-Digest") != "" // a header of aria2 only
				switch {
				case isAria2 && authorized:
					disclosed.Add(1)
				case isAria2:
					bare.Add(1)
				}
				switch {
				case err != nil && !authorized:
					w.WriteHeader(http.StatusUnauthorized)
				case err == nil && number > used.Load():
					used.Store(number)
					downloadtest.Content(data).ServeHTTP(w, r)
				default:
					http.Redirect(w, r, login.URL, http.StatusFound)
				}
			}))
			job := downloadtest.Job(t, "ticket", with("me:pw", home.URL)+"/file", "header", "X-Token: t", "max-tries", "1")
			cfg := Config{AllowBT: c.allowBT}
			if c.attached != "" {
				port := freeTCPPort(t)
				startForeign(t, port, "s3cret")
				cfg.Attach = &Attach{URL: "ws://" + net.JoinHostPort(c.attached, strconv.Itoa(port)), Secret: "s3cret", Folders: []string{filepath.Dir(job.Dir)}}
			}
			e := startEngine(t, cfg)
			if downloadtest.Add(t, e, job); !c.fails {
				downloadtest.MustComplete(t, e, job, data)
			} else if err := downloadtest.MustFail(t, e, "ticket"); !strings.Contains(err.Message, "leads there now") {
				t.Errorf("%+v", err)
			}
			if c.fails != (disclosed.Load() > 0) || c.fails == (bare.Load() > 0) {
				t.Errorf("aria2c has sent %d tickets with the credentials, %d without", disclosed.Load(), bare.Load())
			}
		})
	}
}

// aria2c gets one source at a time of a task with credentials.
func TestFound_CredentialsMeanOneSourceAtATime(t *testing.T) {
	const url, second, away, ftp, ftp2 = "http://own/f", "HTTP://second/f", "http://away/f?key=1", "ftp://old/f", "sftp://older/f"
	password := model.Options{"http-user": {"me"}, "http-passwd": {"pw"}, "user-agent": {"agent"}}
	for name, c := range map[string]struct {
		sources []string
		options model.Options
		now     *version
		told    []string
		bare    bool
	}{
		"no credentials":              {[]string{url, second}, model.Options{"user-agent": {"agent"}}, &version{at: 1, elsewhere: away}, []string{second}, false},
		"no credentials, a checksum":  {[]string{url, second}, model.Options{"checksum": {"md5=00"}}, &version{at: 1, elsewhere: away}, []string{url, second}, false},
		"no source has answered":      {[]string{url, second}, nil, nil, []string{url}, false},
		"the first has answered":      {[]string{url, second, ftp}, password, &version{}, []string{url}, false},
		"the second has answered":     {[]string{url, second, ftp}, password, &version{at: 1}, []string{second}, false},
		"it leads elsewhere":          {[]string{url, second, ftp}, password, &version{at: 1, elsewhere: away}, []string{away}, true},
		"it leads elsewhere and back": {[]string{url, second, ftp}, password, &version{at: 1, elsewhere: second + "?ticket", returned: true}, []string{second + "?ticket"}, false},
		"its turn comes over FTP":     {[]string{url, ftp, second, ftp2}, password, &version{at: 1}, []string{ftp}, false},
		"a password for FTP":          {[]string{ftp, second}, model.Options{"ftp-user": {"me"}}, &version{}, []string{ftp}, false},
		"a password in an FTP mirror": {[]string{url, "ftp://me:pw@old/f"}, nil, &version{elsewhere: away}, []string{away}, true},
	} {
		t.Run(name, func(t *testing.T) {
			spec := model.TaskSpec{ID: "t", URL: c.sources[0], Mirrors: c.sources[1:], Options: c.options}
			j := &job{Job: download.Job{Task: &model.Task{TaskSpec: spec}}}
			j.applyVersion(c.now, nil)
			got := &j.sanitizedJob().Task.TaskSpec
			if told := sources(got); !slices.Equal(told, c.told) {
				t.Errorf("aria2c is told %q, want %q", told, c.told)
			}
			if c.bare && len(got.Options["http-user"])+len(got.Options["http-passwd"]) > 0 {
				t.Errorf("another host would be told %v", got.Options)
			}
			if !c.bare && len(got.Options) != len(c.options) || len(got.Options["user-agent"]) != len(c.options["user-agent"]) {
				t.Errorf("of the options %v it is told %v", c.options, got.Options)
			}
			if len(spec.Options) != len(c.options) {
				t.Error("the task itself has changed")
			}
		})
	}
}
