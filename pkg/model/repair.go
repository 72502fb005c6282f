package model

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// MaxLength bounds every length and every speed on the wire, in bytes and bytes/s.
// A server on the internet can announce any number; no disk holds more than this.
const MaxLength = int64(1) << 60

// maxMetric bounds the other figures of a worker.
const maxMetric = float64(MaxLength)

// noReadableError stands for the error of a failed attempt that cannot be read.
const noReadableError = "the worker gave no readable error"

// KnownLength returns n where it can be a length or a speed, otherwise 0: not known.
func KnownLength(n int64) int64 {
	if n < 0 || n > MaxLength {
		return 0
	}
	return n
}

// KnownPercent returns x where it is a number from 0 to 100, otherwise the nearest
// such number.
func KnownPercent(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return min(max(x, 0), 100)
}

// AddLengths returns the sum of two lengths, at most [MaxLength].
func AddLengths(a, b int64) int64 {
	return min(KnownLength(a)+KnownLength(b), MaxLength)
}

// Repair drops or clamps every field that [Report.Normalize] refuses, except the id and
// the attempt: a worker that names both holds the attempt, whatever the other fields
// contain. A status that is not known here changes no status, as [ReportPaused]; an
// error class that is not known here is retryable.
func (r *Report) Repair() {
	if !r.Status.known() {
		r.Status = ReportPaused
	}
	r.Progress = KnownPercent(r.Progress)
	r.CompletedLength, r.TotalLength = KnownLength(r.CompletedLength), KnownLength(r.TotalLength)
	r.DownloadSpeed = KnownLength(r.DownloadSpeed)
	if r.Error == nil && r.Status == ReportFailed {
		r.Error = &TaskError{Code: 1}
	}
	if e := r.Error; e != nil {
		if !e.Class.Valid() {
			e.Class = ClassRetryable
		}
		if e.Message == "" && r.Status == ReportFailed {
			e.Message = noReadableError
		}
	}
	if r.Result != nil {
		r.Result.repair()
		if len(r.Result.Files) == 0 && r.Result.TotalLength == 0 {
			r.Result = nil // the lengths of the report say more
		}
	}
	r.cut()
}

// repair drops the files without a path and the lengths that cannot be.
func (r *Result) repair() {
	r.TotalLength = KnownLength(r.TotalLength)
	r.Files = slices.DeleteFunc(r.Files, func(f File) bool { return f.Path == "" })
	for i := range r.Files {
		r.Files[i].Length = KnownLength(r.Files[i].Length)
	}
}

// possible reports whether every length of the result can be one.
func (r *Result) possible() bool {
	for i := range r.Files {
		if r.Files[i].Length != KnownLength(r.Files[i].Length) {
			return false
		}
	}
	return r.TotalLength == KnownLength(r.TotalLength)
}

// cut shortens texts and lists that are merely too long.
func (r *Report) cut() {
	r.GID = cut(r.GID, MaxName)
	r.RetryAfter = wholeSeconds(min(max(r.RetryAfter, 0), MaxRetryAfter))
	if r.Error != nil {
		r.Error.Message = cut(r.Error.Message, MaxMessage)
		r.Error.Host = cut(r.Error.Host, maxHostName)
		if r.Error.HTTPStatus < 100 || r.Error.HTTPStatus > 999 {
			r.Error.HTTPStatus = 0
		}
	}
	if r.Result != nil && len(r.Result.Files) > MaxResultFiles {
		r.Result.Files = r.Result.Files[:MaxResultFiles]
	}
}

// wholeSeconds rounds up.
func wholeSeconds(d Duration) Duration {
	return (d + Seconds(1) - 1) / Seconds(1) * Seconds(1)
}

func (s ReportStatus) known() bool {
	switch s {
	case ReportDownloading, ReportCompleted, ReportFailed, ReportRejected, ReportPaused, ReportQueued:
		return true
	}
	return false
}

// Repair drops or clamps every field of a heartbeat that [Heartbeat.Validate] refuses,
// except worker_id, instance, epoch and seq. It returns one sentence for each repaired
// field. It cuts Tasks at [MaxBatch]; [Report.Repair] is for the rest of them.
//
// An unknown state counts as draining: the worker keeps its tasks and gets no new ones.
func (h *Heartbeat) Repair() (faults []string) {
	fault := func(field, format string, args ...any) {
		faults = append(faults, field+": "+fmt.Sprintf(format, args...))
	}
	if !h.State.known() {
		fault("state", "%.40q is not known here, and counts as draining", h.State)
		h.StateReason = fmt.Sprintf("its state %.40q is not known to this dispatcher", h.State)
		h.State = StateDraining
	}
	for _, count := range []struct {
		field string
		value *int
	}{{"total_slots", &h.TotalSlots}, {"prefetch", &h.Prefetch}} {
		if n := min(max(*count.value, 0), MaxSlots); n != *count.value {
			fault(count.field, "%d is not from 0 to %d", *count.value, MaxSlots)
			*count.value = n
		}
	}
	if h.Port < 0 || h.Port > 65535 {
		fault("port", "%d is not a port", h.Port)
		h.Port = 0
	}
	for _, text := range h.texts() {
		if err := checkText(*text.value, text.most); err != nil {
			fault(text.field, "%v", err)
			*text.value = ""
		}
	}
	if len(h.Tasks) > MaxBatch {
		fault("tasks", "%d are more than the %d of one message", len(h.Tasks), MaxBatch)
		h.Tasks, h.Partial = h.Tasks[:MaxBatch], true
	}
	h.Capabilities.repair(fault)
	health, stats := h.HealthMetrics.figures(), h.PerformanceStats.figures()
	repairFigures(fault, "health_metrics.", health[:])
	repairFigures(fault, "performance_stats.", stats[:])
	return faults
}

// textField is a field with a text and the most bytes that it may have.
type textField struct {
	field string
	value *string
	most  int
}

// texts returns the fields of a heartbeat that are for people.
func (h *Heartbeat) texts() [5]textField {
	return [...]textField{
		{"hostname", &h.Hostname, MaxValue}, {"address", &h.Address, MaxValue},
		{"dir", &h.Dir, maxDir}, {"version", &h.Version, maxVersion}, {"state_reason", &h.StateReason, MaxValue},
	}
}

func (s WorkerState) known() bool {
	return s == StateReady || s == StateDraining || s == StateLeaving || s == StateError
}

// maxBTVersion is the latest version of BitTorrent.
const maxBTVersion = 2

// repair drops what cannot be a capability. A worker without it is given fewer tasks,
// never a task that it cannot do.
func (c *Capabilities) repair(fault func(field, format string, args ...any)) {
	if err := checkPairs("capabilities.tags", c.Tags); err != nil {
		fault("capabilities.tags", "some are dropped: %v", err)
		kept := make(map[string]string)
		for _, name := range slices.Sorted(maps.Keys(c.Tags)) {
			pair := map[string]string{name: c.Tags[name]}
			if len(kept) < MaxPairs && checkPairs("", pair) == nil {
				kept[name] = c.Tags[name]
			}
		}
		c.Tags = kept
	}
	for _, names := range []struct {
		field string
		list  *[]string
	}{{"capabilities.folders", &c.Folders}, {"capabilities.protocols", &c.Protocols}} {
		before := len(*names.list)
		*names.list = slices.DeleteFunc(*names.list, func(name string) bool {
			return name == "" || checkText(name, MaxValue) != nil
		})
		*names.list = (*names.list)[:min(len(*names.list), MaxPairs)]
		if dropped := before - len(*names.list); dropped > 0 {
			fault(names.field, "%d of %d are dropped", dropped, before)
		}
	}
	if before := len(c.BTVersions); before > 0 {
		c.BTVersions = slices.DeleteFunc(c.BTVersions, func(v int) bool { return v < 1 || v > maxBTVersion })
		slices.Sort(c.BTVersions)
		c.BTVersions = slices.Compact(c.BTVersions)
		if dropped := before - len(c.BTVersions); dropped > 0 {
			fault("capabilities.bt_versions", "%d of %d are dropped", dropped, before)
		}
	}
	figures := c.figures()
	repairFigures(fault, "capabilities.", figures[:])
}

// figure is a field with a number; one of the two is set.
type figure struct {
	name     string
	whole    *int64
	fraction *float64
}

// repairFigures sets the figures to 0 that are negative, too large or not a number.
func repairFigures(fault func(field, format string, args ...any), prefix string, list []figure) {
	for _, f := range list {
		switch {
		case f.whole != nil && *f.whole != KnownLength(*f.whole):
			fault(prefix+f.name, "%d is out of range", *f.whole)
			*f.whole = 0
		case f.fraction != nil && !(*f.fraction >= 0 && *f.fraction <= maxMetric): // also NaN
			fault(prefix+f.name, "%v is out of range", *f.fraction)
			*f.fraction = 0
		}
	}
}

// RepairFigures sets the figures of a stored worker to 0, or to the nearest one, that a
// heartbeat could not have brought: an infinity would have no JSON.
func (w *Worker) RepairFigures() {
	w.TotalSlots, w.Health = min(max(w.TotalSlots, 0), MaxSlots), KnownPercent(w.Health)
	capabilities, health, stats := w.Capabilities.figures(), w.HealthMetrics.figures(), w.PerformanceStats.figures()
	for _, list := range [][]figure{capabilities[:], health[:], stats[:]} {
		repairFigures(func(string, string, ...any) {}, "", list)
	}
}

// cut shortens s to at most limit bytes of UTF-8.
func cut(s string, limit int) string {
	return strings.ToValidUTF8(s[:min(len(s), limit)], "")
}
