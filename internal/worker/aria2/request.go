package aria2

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// kind is how a task is given to aria2c.
type kind int

const (
	kindPlain    kind = iota // one file from URLs
	kindMagnet               // a link that leads to a torrent
	kindTorrent              // an inline torrent
	kindMetalink             // an inline metalink; its gids are aria2's choice
)

func kindOf(spec *model.TaskSpec) kind {
	switch {
	case len(spec.Torrent) > 0:
		return kindTorrent
	case len(spec.Metalink) > 0:
		return kindMetalink
	case spec.Magnet():
		return kindMagnet
	}
	return kindPlain
}

// allowedOptions are the options that may go to aria2c, by kind. It is its own list, for
// aria2c obeys whatever it is told: a name that validation lets through by
// mistake still does not arrive.
var allowedOptions = map[string][]kind{
	"out":                       {kindPlain},
	"split":                     {kindPlain, kindMetalink},
	"max-connection-per-server": {kindPlain, kindMetalink},
	"min-split-size":            {kindPlain, kindMetalink},
	"max-download-limit":        {kindPlain, kindMagnet, kindTorrent, kindMetalink},
	"lowest-speed-limit":        {kindPlain, kindMetalink},
	"user-agent":                {kindPlain, kindMagnet, kindTorrent, kindMetalink},
	"referer":                   {kindPlain, kindMetalink},
	"header":                    {kindPlain, kindMetalink},
	"http-user":                 {kindPlain, kindMetalink},
	"http-passwd":               {kindPlain, kindMetalink},
	"ftp-user":                  {kindPlain, kindMetalink},
	"ftp-passwd":                {kindPlain, kindMetalink},
	"select-file":               {kindPlain, kindMagnet, kindTorrent},
	"bt-tracker":                {kindPlain, kindMagnet, kindTorrent, kindMetalink},
	"timeout":                   {kindPlain, kindMagnet, kindTorrent, kindMetalink},
	"connect-timeout":           {kindPlain, kindMagnet, kindTorrent, kindMetalink},
	"max-tries":                 {kindPlain, kindMagnet, kindTorrent, kindMetalink},
	"retry-wait":                {kindPlain, kindMagnet, kindTorrent, kindMetalink},
}

// gidOf returns the gid of a task: 16 hex digits that are not all zero.
func gidOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	gid := hex.EncodeToString(sum[:8])
	if strings.Trim(gid, "0") == "" {
		return "0000000000000001"
	}
	return gid
}

// checkDir refuses a folder that aria2 would take for another one.
func checkDir(dir string) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || strings.Contains(dir, "${") {
		return fmt.Errorf("the folder %q is not a clean absolute path without ${", dir)
	}
	return nil
}

// request is the call that gives a job to aria2c. The job's options have been
// validated. validator, if it is not empty, is sent as If-Range: a server whose
// file is another one then answers a range with the whole file, and aria2c stops
// instead of mixing the two. headFirst has aria2c learn the length by HEAD: it
// otherwise begins a resumed download with a request for the whole file, which it
// breaks off.
func request(job *download.Job, gid, validator string, headFirst bool) call {
	spec := &job.Task.TaskSpec
	k := kindOf(spec)
	options := map[string]any{"dir": job.Dir, "gid": gid, "pause": "false"}
	var headers []string
	if validator != "" {
		headers = append(headers, "If-Range: "+validator)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Options)) {
		value := spec.Options[name]
		switch {
		case len(value) == 0 || !slices.Contains(allowedOptions[name], k):
		case name == "header":
			headers = append(headers, slices.DeleteFunc(slices.Clone([]string(value)), isHeader("If-Range"))...)
		default:
			options[name] = value[0]
		}
	}
	if wanted := torrent.ParseMagnet(spec.URL).Select; k == kindMagnet && wanted != "" && options["select-file"] == nil {
		options["select-file"] = wanted // aria2c ignores this part of the link
	}
	if headFirst {
		options["use-head"] = "true"
	}
	if k == kindPlain && !slices.ContainsFunc(headers, isHeader("Accept")) {
		headers = append(headers, "Accept: */*") // aria2c itself asks for metalinks too, and keeps one as the file
	}
	if line := passwordAlone(spec.URL); line != "" && options["http-user"] == nil && !slices.ContainsFunc(headers, isHeader("Authorization")) {
		headers = append(headers, line)
	}
	if len(headers) > 0 {
		options["header"] = headers
	}
	if k == kindTorrent || k == kindMagnet {
		options["check-integrity"] = "true" // finished pieces are recognised by their hashes
	}
	switch k {
	case kindTorrent:
		return call{"aria2.addTorrent", []any{base64.StdEncoding.EncodeToString(spec.Torrent), []string{}, options}}
	case kindMetalink:
		return call{"aria2.addMetalink", []any{base64.StdEncoding.EncodeToString(spec.Metalink), options}}
	}
	uris := make([]string, 0, 1+len(spec.Mirrors))
	for _, source := range sources(spec) {
		uris = append(uris, correctURL(source))
	}
	return call{"aria2.addUri", []any{uris, options}}
}

// correctURL is a source as aria2c understands it: it knows schemes in lower case and
// hosts in ASCII only, and no empty user.
func correctURL(source string) string {
	u, err := download.ParseURL(source)
	if err != nil || u.Scheme == "magnet" {
		return model.RepairURL(source)
	}
	if strings.HasPrefix(u.Scheme, "http") && u.User != nil && u.User.Username() == "" {
		u.User = nil
	}
	return u.String()
}

// passwordAlone returns the header for a URL of HTTP that has a password and no user; "" for any
// other. A task with a password has one source at a time, so no other one gets it.
func passwordAlone(source string) string {
	u, err := download.ParseURL(source)
	if err != nil || !strings.HasPrefix(u.Scheme, "http") || u.User == nil || u.User.Username() != "" {
		return ""
	}
	password, _ := u.User.Password()
	if password == "" {
		return ""
	}
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(":"+password))
}

// isHeader returns a function that reports whether a line is that header.
func isHeader(want string) func(line string) bool {
	return func(line string) bool {
		name, _, _ := strings.Cut(line, ":")
		return strings.EqualFold(strings.TrimSpace(name), want)
	}
}

// dropUntrusted removes what aria2c would take for whole: a file without a
// control file, such as one that was allocated just before a crash.
// Files of a torrent stay, for their pieces are checked.
func dropUntrusted(job *download.Job) error {
	if kind := kindOf(&job.Task.TaskSpec); kind == kindTorrent || kind == kindMagnet {
		return nil
	}
	return download.WipeExcept(job.Dir, func(name string) bool {
		if name == versionFile {
			return true
		}
		data, isControl := strings.CutSuffix(name, ".aria2")
		if isControl {
			return exists(job.Dir, data)
		}
		return exists(job.Dir, name+".aria2")
	})
}
