package aria2

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// versionFile is stored beside a job's bytes. It has their source and version. aria2
// itself would continue any file of the same length.
const versionFile = model.WorkerVersion

// maxUnstored is up to how many bytes the version of a file is not stored: bytes without a
// version are fetched again, which costs less than the file of the version.
const maxUnstored = 64 << 10

const maxVersion = 1 << 20 // bytes of a version file: net/http reads no longer headers

// version is what a server said of a file before its first byte was fetched.
type version struct {
	Source       string `json:"source"` // hash of the URL
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	Length       int64  `json:"length"` // -1 = not said
	odd          bool   // clients disagree about the length: an unreadable Content-Range, or several lengths

	// Shared has the hashes of the sources that aria2c has got for these bytes, of a task
	// with mirrors. nil: not known.
	Shared []string `json:"shared,omitempty"`

	// Unseen says that the proxy may not have seen the responses with these bytes.
	Unseen bool `json:"unseen,omitempty"`

	// Boot is when the machine was started in which the first byte was fetched.
	Boot string `json:"boot,omitempty"`

	at        int    // which source answered with this
	elsewhere string // the URL that another host has it at
	unproven  bool   // only aria2c can ask the source, so nothing proves that its file is still this one
	returned  bool   // elsewhere is at the task's own server, where aria2c is confined to it: it gets the credentials

	head bool   // HEAD was answered with this
	name string // of the file, by that answer
}

// isSmall reports whether the bytes of the file may be fetched again after a crash.
func (v *version) isSmall() bool { return v.Length >= 0 && v.Length <= maxUnstored }

// same reports whether other is the same version. Another URL has the same file
// only where a strong ETag says so.
func (v *version) same(other *version) bool {
	return v.ETag == other.ETag && v.LastModified == other.LastModified &&
		v.sameLength(other) &&
		(v.Source == other.Source || download.StrongETag(v.ETag))
}

func (v *version) sameLength(other *version) bool {
	return v.Length == other.Length || v.Length < 0 || other.Length < 0
}

// validator is what If-Range may say of it; "" if the server gave nothing for that.
func (v *version) validator() string {
	if download.StrongETag(v.ETag) {
		return v.ETag
	}
	return v.LastModified
}

// loadVersion reads what is kept in a job's folder; nil if that is nothing that
// can be read.
func loadVersion(dir string) *version {
	file, err := os.Open(filepath.Join(dir, versionFile))
	if err != nil {
		return nil
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxVersion)) // a download may have had this name
	if err != nil {
		return nil
	}
	return decodeVersion(data)
}

// decodeVersion reads a version file; nil if it is not one that this engine wrote.
func decodeVersion(data []byte) *version {
	v := &version{}
	if json.Unmarshal(data, v) != nil || v.Source == "" || v.Length < -1 ||
		!download.Sendable(v.ETag) || !download.Sendable(v.LastModified) {
		return nil
	}
	return v
}

func (v *version) save(dir string) error {
	data, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, versionFile), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the version of a file: %w", err)
	}
	return nil
}

// settleVersion decides, by the server's current version (nil: unknown), whether the
// bytes in a job's folder may be continued. If not, it removes them. It returns the
// version of the file, nil if unknown, and whether bytes of it exist. Where no server
// answers, only bytes of source, which aria2c gets, are kept. With a checksum, bytes are
// kept unless the file now has another length.
func settleVersion(dir string, now *version, source string, checked bool) (v *version, resumes bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, false, fmt.Errorf("look at the bytes that are there: %w", err)
	}
	kept := loadVersion(dir)
	bytes := len(entries) > 0 && (len(entries) > 1 || entries[0].Name() != versionFile)
	switch {
	case bytes && checked && (kept == nil || now == nil || kept.sameLength(now)):
		if kept == nil && now != nil {
			err = now.save(dir)
			return now, true, err
		}
		return kept, true, nil
	case bytes && kept != nil && now == nil && kept.Source == source:
		return kept, true, nil // If-Range asks again
	case bytes && kept != nil && now != nil && !now.unproven && kept.same(now):
		more := kept.addShared(now.Shared)
		if now.Unseen && !kept.Unseen {
			kept.Unseen, more = true, true
		}
		if more {
			err = kept.save(dir)
		}
		return kept, true, err
	case len(entries) > 0:
		if err := download.Wipe(dir); err != nil {
			return nil, false, err
		}
	}
	if now == nil {
		return nil, false, nil
	}
	err = now.begin(dir)
	return now, false, err
}

// begin stores the version in an empty folder, before its first byte is fetched.
func (v *version) begin(dir string) error {
	v.Boot = download.BootID()
	return v.save(dir)
}

// cameFrom is which of a job's sources gave the version that is kept in its folder; 0 if none
// is known to have. Another one would have to have the same strong ETag.
func cameFrom(dj *download.Job) int {
	if dj.Fresh {
		return 0
	}
	kept := loadVersion(dj.Dir)
	if kept == nil {
		return 0
	}
	of := func(source string) bool { return download.HashOf(source) == kept.Source }
	return max(slices.IndexFunc(sources(&dj.Task.TaskSpec), of), 0)
}

// partName is the name of the one unfinished file in a job's folder, "" if there is
// not exactly one.
func partName(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var found []string
	for _, entry := range entries {
		if name, isControl := strings.CutSuffix(entry.Name(), ".aria2"); isControl && exists(dir, name) {
			found = append(found, name)
		}
	}
	if len(found) != 1 || model.ServerFileName(found[0]) != nil {
		return ""
	}
	return found[0]
}

// keepName makes aria2c continue the existing file: another link to it may give it
// another name.
func (j *job) keepName(add call) {
	options := add.params[len(add.params)-1].(map[string]any)
	if name := partName(j.Dir); name != "" && options["out"] == nil {
		options["out"] = name
	}
}
