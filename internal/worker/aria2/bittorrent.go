package aria2

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// hybridInfo is the info dictionary of a hybrid torrent, of versions 1 and 2, for one
// file of 1,000 bytes. It names no tracker.
const hybridInfo = "d9:file treed1:fd0:d6:lengthi1000e11:pieces root32:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaeee" +
	"6:lengthi1000e12:meta versioni2e4:name1:f12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae"

// btVersions asks an aria2c which versions of BitTorrent it can: whether it finds the
// info-hash of a hybrid torrent. The torrent is added paused and removed. 1.36 gets
// that wrong, so it would look for peers that do not exist.
func btVersions(ctx context.Context, c *client, dir string) []int {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	one := []int{1}
	sample := base64.StdEncoding.EncodeToString([]byte("d4:info" + hybridInfo + "e"))
	var gid string
	if c.call(ctx, &gid, "aria2.addTorrent", sample, []string{}, map[string]any{"dir": dir, "pause": "true"}) != nil {
		return one
	}
	var status struct {
		InfoHash string `json:"infoHash"`
	}
	err := c.call(ctx, &status, "aria2.tellStatus", gid, []string{"infoHash"})
	_ = c.call(ctx, nil, "aria2.forceRemove", gid) // sweep removes what is left, too
	want := sha1.Sum([]byte(hybridInfo))
	if err == nil && strings.EqualFold(status.InfoHash, hex.EncodeToString(want[:])) {
		return []int{1, 2}
	}
	return one
}

// unfetchable returns the error of a torrent or magnet link that is of a version of
// BitTorrent that this aria2c cannot fetch; nil of any other. What cannot be read is
// left to aria2c.
func (e *Engine) unfetchable(spec *model.TaskSpec) *model.TaskError {
	switch kindOf(spec) {
	case kindMagnet:
		return e.wrongVersion("magnet link", torrent.ParseMagnet(spec.URL))
	case kindTorrent:
		if info, err := torrent.Parse(spec.Torrent); err == nil {
			return e.wrongVersion("torrent", info)
		}
	}
	return nil
}

// wrongVersion returns the error of what is of such a version.
func (e *Engine) wrongVersion(what string, info torrent.Info) *model.TaskError {
	const wayOut = "use one of version 1, or another source of the file"
	var message string
	switch {
	case !info.V2 || info.V1 && slices.Contains(e.caps.BTVersions, 2):
		return nil
	case info.V1:
		message = "the " + what + " is a hybrid one (BitTorrent v1 and v2): this worker's aria2c computes a wrong info-hash for it and finds no peer; " + wayOut
	default:
		message = "the " + what + " is for BitTorrent v2 only, which aria2c cannot fetch; " + wayOut
	}
	return &model.TaskError{Code: download.CodeTorrent, Class: model.ClassPermanent, Message: message}
}

// follow makes a finished job, which aria2c has forgotten, one of what its file leads to; the
// next Poll gives it to aria2c. Other bytes in its folder may be of that, from before a restart.
func (e *Engine) follow(j *job, next download.Job, file string) {
	_ = download.WipeExcept(j.Dir, func(name string) bool { // what stays is in nobody's way
		return name != file && name != file+".aria2"
	})
	j.Job = next
	j.linkSource, j.version, j.announced, j.allowedSources, j.withoutCredentials, j.bytesAtFailure, j.startedOver = 0, nil, nil, nil, false, 0, false
	if err := e.prepareMetalink(j); err != nil {
		j.failWith(err)
	}
}

// isTrackerless reports whether the job is a torrent or magnet link without a tracker.
func (j *job) isTrackerless() bool {
	if len(j.Task.Options["bt-tracker"]) > 0 {
		return false
	}
	switch kindOf(&j.Task.TaskSpec) {
	case kindMagnet:
		return len(torrent.ParseMagnet(j.Task.URL).Trackers) == 0
	case kindTorrent:
		info, err := torrent.Parse(j.Task.Torrent)
		return err == nil && len(info.Trackers) == 0
	}
	return false
}
