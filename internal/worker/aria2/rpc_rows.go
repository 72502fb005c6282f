package aria2

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// row is one download as aria2c tells of it; it writes numbers as strings.
type row struct {
	GID          string   `json:"gid"`
	Status       string   `json:"status"` // active, waiting, paused, error, complete, removed
	Total        number   `json:"totalLength"`
	Completed    number   `json:"completedLength"`
	Speed        number   `json:"downloadSpeed"`
	ErrorCode    number   `json:"errorCode"`
	ErrorMessage string   `json:"errorMessage"`
	FollowedBy   []string `json:"followedBy"`
	Following    string   `json:"following"`
	BelongsTo    string   `json:"belongsTo"` // of a metalink's torrent: the file that it is for
	Dir          string   `json:"dir"`
	Files        []file   `json:"files"` // only of [client.rowsOf]
}

// file is a file of a download.
type file struct {
	Path     string `json:"path"`
	Selected string `json:"selected"`
	URIs     []uri  `json:"uris"`
}

// uri is a source of a file. aria2c adds those that a server names to the ones that it was given.
type uri struct {
	URI    string `json:"uri"`
	Status string `json:"status"` // used, waiting
}

var rowKeys = []string{
	"gid", "status", "totalLength", "completedLength", "downloadSpeed",
	"errorCode", "errorMessage", "followedBy", "following", "belongsTo", "dir",
}

// stopped reports whether it will write no more.
func (r *row) stopped() bool {
	return r.Status == "complete" || r.Status == "error" || r.Status == "removed"
}

// number is an integer in a string; anything else counts as 0.
type number int64

// UnmarshalJSON implements [json.Unmarshaler]. It never fails, so that one odd value
// costs no other download its place in the answer.
func (n *number) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = string(b)
	}
	v, _ := strconv.ParseInt(s, 10, 64) // 0 if it is no integer, the largest if it is too large
	*n = number(max(v, 0))
	return nil
}

// decodeRows reads a list of downloads, each alone. One with a field that cannot be
// read has the rest of its fields; one without a gid is left out.
func decodeRows(raw json.RawMessage) ([]*row, error) {
	var list []json.RawMessage
	if err := decode(raw, &list, "aria2.tell"); err != nil {
		return nil, err
	}
	rows := make([]*row, 0, len(list))
	for _, one := range list {
		r := &row{}
		if json.Unmarshal(one, r) != nil {
			r = decodeFields(one)
		}
		if r.GID != "" {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// decodeFields reads the fields of a download that can be read. One whose status
// cannot be is taken for an active one.
func decodeFields(raw json.RawMessage) *row {
	var fields map[string]json.RawMessage
	r := &row{}
	if json.Unmarshal(raw, &fields) != nil {
		return r
	}
	for name, to := range map[string]any{
		"gid": &r.GID, "status": &r.Status, "totalLength": &r.Total, "completedLength": &r.Completed,
		"downloadSpeed": &r.Speed, "errorCode": &r.ErrorCode, "errorMessage": &r.ErrorMessage,
		"following": &r.Following, "belongsTo": &r.BelongsTo, "dir": &r.Dir, "followedBy": &r.FollowedBy, "files": &r.Files,
	} {
		_ = json.Unmarshal(fields[name], to) // it keeps its zero value
	}
	return r
}

// rows asks for every download that aria2c knows, by gid, in one message.
func (c *client) rows(ctx context.Context) (map[string]*row, error) {
	results, errs, err := c.multicall(ctx, []call{
		{"aria2.tellActive", []any{rowKeys}},
		{"aria2.tellWaiting", []any{0, maxRows, rowKeys}},
		{"aria2.tellStopped", []any{-1, maxRows, rowKeys}},
	})
	if err != nil {
		return nil, err
	}
	all := map[string]*row{}
	for i, raw := range results {
		if errs[i] != nil {
			return nil, fmt.Errorf("poll: %w", errs[i])
		}
		list, err := decodeRows(raw)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			all[r.GID] = r
		}
	}
	return all, nil
}

// rowsOf asks for the downloads of some jobs with their files, by gid, in one message. One
// that aria2c does not have is left out.
func (c *client) rowsOf(ctx context.Context, jobs []*job) (map[string]*row, error) {
	calls := make([]call, len(jobs))
	for i, j := range jobs {
		calls[i] = call{"aria2.tellStatus", []any{j.gid, append(rowKeys[:len(rowKeys):len(rowKeys)], "files")}}
	}
	results, errs, err := c.multicall(ctx, calls)
	if err != nil {
		return nil, err
	}
	all := map[string]*row{}
	for i, raw := range results {
		r := &row{}
		if errs[i] != nil {
			continue
		}
		if json.Unmarshal(raw, r) != nil {
			r = decodeFields(raw)
		}
		if r.GID == jobs[i].gid {
			all[r.GID] = r
		}
	}
	return all, nil
}

// family returns the rows that come from the roots, themselves included: what a
// magnet, torrent or metalink led to has gids of aria2's choice.
func family(roots []string, all map[string]*row) []*row {
	var members []*row
	seen := map[string]bool{}
	for queue := roots; len(queue) > 0; queue = queue[1:] {
		gid := queue[0]
		if seen[gid] {
			continue
		}
		seen[gid] = true
		if r := all[gid]; r != nil {
			members = append(members, r)
			queue = append(queue[:len(queue):len(queue)], r.FollowedBy...)
		}
	}
	return members
}

// familyState is how a family stands as one download.
type familyState struct {
	leaves                  []*row // those that nothing follows
	lost                    bool   // a member that should be there is not, or was removed
	failed                  *row   // the first leaf that failed
	done                    bool   // every leaf is complete
	completed, total, speed int64
}

// familyStateOf judges a family. Metadata that led to something counts for nothing, and
// so does the torrent that a metalink names beside a file: without it aria2c has the
// other sources.
func familyStateOf(roots []string, all map[string]*row) familyState {
	v := familyState{done: true}
	for _, gid := range roots {
		v.lost = v.lost || all[gid] == nil
	}
	for _, r := range family(roots, all) {
		if r.BelongsTo != "" {
			continue
		}
		if len(r.FollowedBy) > 0 {
			for _, gid := range r.FollowedBy {
				v.lost = v.lost || all[gid] == nil
			}
			continue
		}
		v.leaves = append(v.leaves, r)
		v.completed += int64(r.Completed)
		v.total += int64(r.Total)
		v.speed += int64(r.Speed)
		switch r.Status {
		case "complete":
			continue
		case "removed": // not by us
			v.lost = true
		case "error":
			if v.failed == nil {
				v.failed = r
			}
		}
		v.done = false
	}
	v.done = v.done && !v.lost && len(v.leaves) > 0
	return v
}

// files returns the files of each download. It asks for those of downloads whose rows do not have
// them.
func (c *client) files(ctx context.Context, leaves []*row) (all [][]file, err error) {
	var calls []call
	for _, r := range leaves {
		if r.Files == nil {
			calls = append(calls, call{"aria2.getFiles", []any{r.GID}})
		}
	}
	var results []json.RawMessage
	var errs []error
	if len(calls) > 0 {
		if results, errs, err = c.multicall(ctx, calls); err != nil {
			return nil, err
		}
	}
	for _, r := range leaves {
		files := r.Files
		if files == nil {
			if errs[0] != nil {
				return nil, fmt.Errorf("files of gid %s: %w", r.GID, errs[0])
			}
			if err := decode(results[0], &files, "aria2.getFiles"); err != nil {
				return nil, err
			}
			results, errs = results[1:], errs[1:]
		}
		all = append(all, files)
	}
	return all, nil
}

// pathsOf returns the paths of finished files, as aria2c names them. What it kept in memory (a
// torrent that led to others) is no file. Files with a number in pads are left out.
func pathsOf(all [][]file, pads map[int]int64) (paths []string) {
	for _, files := range all {
		for i, f := range files {
			if _, isPad := pads[i+1]; !isPad && f.Selected == "true" && f.Path != "" && f.Path[0] == '/' {
				paths = append(paths, f.Path)
			}
		}
	}
	return paths
}

// forgetResults removes the results of downloads that have stopped, so that their gids
// are free. One that aria2c no longer has is no error.
func (c *client) forgetResults(ctx context.Context, rows []*row) error {
	if len(rows) == 0 {
		return nil
	}
	calls := make([]call, len(rows))
	for i, r := range rows {
		calls[i] = call{"aria2.removeDownloadResult", []any{r.GID}}
	}
	_, _, err := c.multicall(ctx, calls)
	return err
}
