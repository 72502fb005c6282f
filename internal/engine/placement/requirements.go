package placement

import (
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Requirements is what a worker must have to get a task.
type Requirements struct {
	scheme string
	folder string
	tags   map[string]string
	disk   int64 // free bytes, where the length of the file is known
	slot   bool  // a free slot, for its time runs from the assignment on
}

// RequirementsOf returns what a spec requires.
func RequirementsOf(s *model.TaskSpec) Requirements {
	return Requirements{scheme: s.Scheme(), folder: s.Folder, tags: s.Tags, slot: s.Timeout > 0}
}

// key names the requirements, so that equal ones share a set.
func (n *Requirements) key() string {
	if n.folder == "" && len(n.tags) == 0 && !n.slot {
		return n.scheme
	}
	var b strings.Builder
	b.WriteString(n.scheme)
	if n.slot {
		b.WriteString("\x03")
	}
	b.WriteString("\x00" + n.folder)
	for _, name := range slices.Sorted(maps.Keys(n.tags)) {
		b.WriteString("\x00" + name + "\x01" + n.tags[name])
	}
	return b.String()
}

// diskAny is the room of a worker whose disk is not asked for: any.
const diskAny = math.MaxInt64

// diskDemand is the free disk that a file of a length asks for: rounded up to the
// next of four steps between the powers of two, so that there are few different
// ones, and 0 below a MiB.
func diskDemand(length int64) int64 {
	if length < 1<<20 {
		return 0
	}
	step := int64(1) << (bits.Len64(uint64(length)) - 3)
	return (length + step - 1) / step * step
}

// meets reports whether the capabilities and the free disk have all of the requirements. Under
// the strategy tags no tag is needed. It is called for each worker class and each new set.
func (q *Index) meets(n *Requirements, c *model.Capabilities, room int64) bool {
	if !q.ranksTags {
		for name, value := range n.tags { // in any order: all are needed
			if has, ok := c.Tags[name]; !ok || has != value {
				return false
			}
		}
	}
	return (n.folder == "" || slices.Contains(c.Folders, n.folder)) && supportsScheme(c, n.scheme) && room >= n.disk
}

func supportsScheme(c *model.Capabilities, scheme string) bool {
	switch scheme {
	case "bt":
		return c.SupportsBT
	case "metalink":
		return c.SupportsMetalink
	}
	return len(c.Protocols) == 0 || slices.Contains(c.Protocols, scheme) // a worker that lists no protocols supports the common ones
}

// A capability is one thing that a task can need and a worker can have, in words.

func tagCapability(name, value string) string { return name + "=" + value }
func folderCapability(name string) string     { return "the folder " + name }

func schemeCapability(scheme string) string {
	switch scheme {
	case "bt":
		return "support for BitTorrent"
	case "metalink":
		return "support for Metalink"
	}
	return "support for " + scheme
}

// hint says how a worker gets a capability that none has, "" where its name says that. The keys
// are those of a worker's configuration.
func (n *Requirements) hint(capability string) string {
	switch {
	case n.folder != "" && capability == folderCapability(n.folder):
		return ": a worker maps it to a directory with its key folders"
	case capability != schemeCapability(n.scheme):
		return ""
	}
	switch n.scheme {
	case "bt", "metalink":
		return ": a worker with aria2 takes it if its key allow_bt is true"
	case "ftp", "sftp":
		return ": a worker with aria2 fetches it"
	}
	return ""
}

// anyScheme stands for the common protocols.
const anyScheme = "*"

// requiredCapabilities lists what the requirements ask for, except for the disk.
func (q *Index) requiredCapabilities(n *Requirements) []string {
	var list []string
	if !q.ranksTags {
		for _, name := range slices.Sorted(maps.Keys(n.tags)) {
			list = append(list, tagCapability(name, n.tags[name]))
		}
	}
	if n.folder != "" {
		list = append(list, folderCapability(n.folder))
	}
	return append(list, schemeCapability(n.scheme))
}

// capabilitiesOf lists what the capabilities offer.
func capabilitiesOf(c *model.Capabilities) []string {
	var list []string
	for name, value := range c.Tags { // in any order: they are counted
		list = append(list, tagCapability(name, value))
	}
	for _, folder := range c.Folders {
		list = append(list, folderCapability(folder))
	}
	for _, scheme := range c.Protocols {
		list = append(list, schemeCapability(scheme))
	}
	if len(c.Protocols) == 0 {
		list = append(list, schemeCapability(anyScheme))
	}
	if c.SupportsBT {
		list = append(list, schemeCapability("bt"))
	}
	if c.SupportsMetalink {
		list = append(list, schemeCapability("metalink"))
	}
	return list
}

// alternatives returns the capabilities that each stand for the required one: a worker that
// lists no protocols supports the common ones.
func (n *Requirements) alternatives(capability string) []string {
	if capability == schemeCapability(n.scheme) && n.scheme != "bt" && n.scheme != "metalink" {
		return []string{capability, schemeCapability(anyScheme)}
	}
	return []string{capability}
}

// countTags counts the tags that match: what the strategy tags goes by.
func (n *Requirements) countTags(c *model.Capabilities) int16 {
	r := int16(0)
	for name, value := range n.tags {
		if has, ok := c.Tags[name]; ok && has == value {
			r++
		}
	}
	return r
}

// classKey names capabilities, so that workers which can do the same share a
// worker class.
func classKey(c *model.Capabilities, room int64) string {
	var b strings.Builder
	for _, list := range [][]string{slices.Sorted(slices.Values(c.Protocols)), slices.Sorted(slices.Values(c.Folders))} {
		b.WriteString(strings.Join(list, "\x01") + "\x00")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tags)) {
		b.WriteString(name + "\x01" + c.Tags[name] + "\x00")
	}
	if c.SupportsBT {
		b.WriteString("bt\x00")
	}
	if c.SupportsMetalink {
		b.WriteString("metalink\x00")
	}
	if room != diskAny {
		b.WriteString(strconv.FormatInt(room, 10))
	}
	return b.String()
}

// Equal reports whether both require the same, apart from the disk.
func (n *Requirements) Equal(o *Requirements) bool { return n.key() == o.key() }

// IsMetBy reports whether the capabilities have all that is required, apart from the disk.
func (q *Index) IsMetBy(n Requirements, c *model.Capabilities) bool {
	n.disk = 0
	return q.meets(&n, c, diskAny)
}

// NeedsNewSet reports whether a task of the spec would be the first of its requirement set.
func (q *Index) NeedsNewSet(s *model.TaskSpec) bool {
	n := RequirementsOf(s)
	return q.sets[n.key()] == nil
}

// PlainSets returns how many requirement sets there are that a submit makes.
func (q *Index) PlainSets() int { return q.plainSets }

// Sets returns how many requirement sets there are, those of constraints included.
func (q *Index) Sets() int { return len(q.sets) }
