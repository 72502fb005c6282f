package engine

import (
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// need is what a worker must have to get a task.
type need struct {
	scheme string
	folder string
	tags   map[string]string
	disk   int64 // free bytes, where the length of the file is known
}

func needsOf(s *model.TaskSpec) need {
	return need{scheme: s.Scheme(), folder: s.Folder, tags: s.Tags}
}

// key names the need, so that equal ones share a set.
func (n *need) key() string {
	if n.folder == "" && len(n.tags) == 0 {
		return n.scheme
	}
	var b strings.Builder
	b.WriteString(n.scheme + "\x00" + n.folder)
	for _, name := range slices.Sorted(maps.Keys(n.tags)) {
		b.WriteString("\x00" + name + "\x01" + n.tags[name])
	}
	return b.String()
}

// roomless is the room of a worker whose disk is not asked for: any.
const roomless = math.MaxInt64

// roomFor is the free disk that a file of a length asks for: rounded up to the
// next of four steps between the powers of two, so that there are few different
// ones, and 0 below a MiB.
func roomFor(length int64) int64 {
	if length < 1<<20 {
		return 0
	}
	step := int64(1) << (bits.Len64(uint64(length)) - 3)
	return (length + step - 1) / step * step
}

// lacks says what the capabilities and the free disk lack for the need, "" if
// nothing. Under the strategy tags no tag is needed.
func (q *queue) lacks(n *need, c *model.Capabilities, room int64) string {
	if !q.ranksTags {
		for name, value := range n.tags {
			if has, ok := c.Tags[name]; !ok || has != value {
				return firstLack(n, c)
			}
		}
	}
	switch {
	case n.folder != "" && !slices.Contains(c.Folders, n.folder):
		return folderAtom(n.folder)
	case !speaks(c, n.scheme):
		return schemeAtom(n.scheme)
	case room < n.disk:
		return diskAtom
	}
	return ""
}

// firstLack is the first tag in the order of names that is not there.
func firstLack(n *need, c *model.Capabilities) string {
	for _, name := range slices.Sorted(maps.Keys(n.tags)) {
		if has, ok := c.Tags[name]; !ok || has != n.tags[name] {
			return tagAtom(name, n.tags[name])
		}
	}
	return ""
}

func speaks(c *model.Capabilities, scheme string) bool {
	switch scheme {
	case "bt":
		return c.SupportsBT
	case "metalink":
		return c.SupportsMetalink
	}
	return len(c.Protocols) == 0 || slices.Contains(c.Protocols, scheme) // one that names none speaks what everybody speaks
}

// An atom is one thing that a task can need and a worker can have, in words.

const diskAtom = "enough free disk"

func tagAtom(name, value string) string { return name + "=" + value }
func folderAtom(name string) string     { return "the folder " + name }
func schemeAtom(scheme string) string   { return "support for " + scheme }

// anyScheme stands for all that everybody speaks.
const anyScheme = "*"

// atoms lists what the need asks for, but for the disk.
func (q *queue) atoms(n *need) []string {
	var list []string
	if !q.ranksTags {
		for _, name := range slices.Sorted(maps.Keys(n.tags)) {
			list = append(list, tagAtom(name, n.tags[name]))
		}
	}
	if n.folder != "" {
		list = append(list, folderAtom(n.folder))
	}
	return append(list, schemeAtom(n.scheme))
}

// atomsOf lists what the capabilities offer.
func atomsOf(c *model.Capabilities) []string {
	var list []string
	for name, value := range c.Tags { // in any order: they are counted
		list = append(list, tagAtom(name, value))
	}
	for _, folder := range c.Folders {
		list = append(list, folderAtom(folder))
	}
	for _, scheme := range c.Protocols {
		list = append(list, schemeAtom(scheme))
	}
	if len(c.Protocols) == 0 {
		list = append(list, schemeAtom(anyScheme))
	}
	if c.SupportsBT {
		list = append(list, schemeAtom("bt"))
	}
	if c.SupportsMetalink {
		list = append(list, schemeAtom("metalink"))
	}
	return list
}

// hasAtom reports whether the capabilities offer an atom.
func hasAtom(c *model.Capabilities, atom string) bool {
	list := atomsOf(c)
	if slices.Contains(list, atom) {
		return true
	}
	common := atom != schemeAtom("bt") && atom != schemeAtom("metalink") && strings.HasPrefix(atom, schemeAtom(""))
	return common && slices.Contains(list, schemeAtom(anyScheme))
}

// rank counts the tags that match: what the strategy tags goes by.
func (n *need) rank(c *model.Capabilities) int16 {
	r := int16(0)
	for name, value := range n.tags {
		if has, ok := c.Tags[name]; ok && has == value {
			r++
		}
	}
	return r
}

// shapeKey names capabilities, so that workers which can do the same share a
// shape.
func shapeKey(c *model.Capabilities, room int64) string {
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
	if room != roomless {
		b.WriteString(strconv.FormatInt(room, 10))
	}
	return b.String()
}

// sameCapabilities reports whether a task could tell the difference.
func sameCapabilities(a, b *model.Capabilities) bool {
	return a.SupportsBT == b.SupportsBT && a.SupportsMetalink == b.SupportsMetalink &&
		maps.Equal(a.Tags, b.Tags) && slices.Equal(a.Folders, b.Folders) && slices.Equal(a.Protocols, b.Protocols)
}
