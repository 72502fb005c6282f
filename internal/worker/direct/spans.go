package direct

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
)

// span is a stretch of the file that one connection at a time fetches, from its
// beginning on: the bytes [from, pos) are there.
type span struct {
	slot           int
	from, pos, end int64 // end is -1 where the file's length is not known
	busy           bool
}

// spans are all of a file. Its methods are safe for concurrent use.
type spans struct {
	mu     sync.Mutex
	list   []*span // the index is the slot
	length int64   // of the file; -1 = not known
}

// maxSpans bounds the list, and so the map file.
const maxSpans = 1024

// newSpans divides a file by what is there of it.
func newSpans(have []interval, length int64) *spans {
	p := &spans{length: length}
	if len(have) == 0 || have[0].from > 0 {
		have = append([]interval{{0, 0}}, have...)
	}
	for i, h := range have {
		end := length
		if i+1 < len(have) {
			end = have[i+1].from
		}
		p.list = append(p.list, &span{slot: i, from: h.from, pos: h.to, end: end})
	}
	return p
}

// take returns a span for one more connection: one that nobody fetches, else the
// latter half of the longest that is left, if both halves have at least least
// bytes. fresh says that it is a new one. Without anything to do it is nil.
func (p *spans) take(least int64) (s *span, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var longest *span
	for _, s := range p.list {
		switch {
		case s.pos == s.end:
		case !s.busy:
			s.busy = true
			return s, false
		case longest == nil || s.end-s.pos > longest.end-longest.pos:
			longest = s
		}
	}
	if longest == nil || longest.end < 0 || len(p.list) >= maxSpans || longest.end-longest.pos < 2*least {
		return nil, false
	}
	middle := longest.pos + (longest.end-longest.pos)/2
	s = &span{slot: len(p.list), from: middle, pos: middle, end: longest.end, busy: true}
	longest.end = middle
	p.list = append(p.list, s)
	return s, true
}

// first takes the first span, in which a file begins.
func (p *spans) first() *span {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list[0].busy = true
	return p.list[0]
}

// release ends the fetch of a span. It does nothing for nil.
func (p *spans) release(s *span) {
	if s == nil {
		return
	}
	p.mu.Lock()
	s.busy = false
	p.mu.Unlock()
}

// extend moves the end of a span that has reached it to the end of the next span, if that has
// no byte and nobody fetches it. It returns false if not.
func (p *spans) extend(s *span) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, next := range p.list {
		if next.from == s.end && next.pos == next.from && next.pos != next.end && !next.busy {
			s.end = next.end
			next.end = next.from // its slot stays, and has nothing
			return true
		}
	}
	return false
}

// takeBehind returns the first span from that byte on that has bytes left and nobody fetches;
// nil without one.
func (p *spans) takeBehind(at int64) (first *span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.list {
		if !s.busy && s.pos != s.end && s.pos >= at && (first == nil || s.pos < first.pos) {
			first = s
		}
	}
	if first != nil {
		first.busy = true
	}
	return first
}

// bounds returns the next position of a span and its end.
func (p *spans) bounds(s *span) (pos, end int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.pos, s.end
}

// advance counts n more bytes of a span and returns where it stands.
func (p *spans) advance(s *span, n int) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.pos += int64(n)
	return s.pos
}

// close says that a file of unknown length ends where the span stands.
func (p *spans) close(s *span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.end, p.length = s.pos, s.pos
}

// setLength sets the length of a file that had none, and so the end of its only span.
func (p *spans) setLength(length int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.length = length
	for _, s := range p.list {
		s.end = max(length, s.pos)
	}
}

// count returns the bytes that are there, and the length.
func (p *spans) count() (have, length int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.list {
		have += s.pos - s.from
	}
	return have, p.length
}

// positions returns where each span stands.
func (p *spans) positions() []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]int64, len(p.list))
	for i, s := range p.list {
		all[i] = s.pos
	}
	return all
}

// interval is [from, to).
type interval struct{ from, to int64 }

// merge sorts intervals, cuts them to [0, limit) and joins those that touch.
func merge(all []interval, limit int64) []interval {
	slices.SortFunc(all, func(a, b interval) int { return cmp.Compare(a.from, b.from) })
	var merged []interval
	for _, i := range all {
		i.to = min(i.to, limit)
		switch n := len(merged); {
		case i.from < 0 || i.from >= i.to:
		case n > 0 && i.from <= merged[n-1].to:
			merged[n-1].to = max(merged[n-1].to, i.to)
		default:
			merged = append(merged, i)
		}
	}
	return merged
}

// A map file says which bytes of a part are there: a head with the boot of the
// machine in which it was begun, and a slot for each span: its beginning, how far
// it was written, and how far that is known to be on the disk. A killed process
// loses nothing that it wrote, so the second counts; after a crash of the machine
// only the third does.
const (
	mapMagic = "aria parts 1\n"
	mapHead  = 64
	slotSize = 24
	maxMap   = mapHead + 2*maxSpans*slotSize
)

var errMap = errors.New("the map of the parts cannot be read")

// encodeMap writes a map of bytes that all are on the disk.
func encodeMap(boot string, list []*span) []byte {
	b := make([]byte, mapHead, mapHead+len(list)*slotSize)
	copy(b, mapMagic+boot)
	for _, s := range list {
		b = appendSlot(b, s.from, s.pos, s.pos)
	}
	return b
}

func appendSlot(b []byte, from, written, synced int64) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(from))
	b = binary.LittleEndian.AppendUint64(b, uint64(written))
	return binary.LittleEndian.AppendUint64(b, uint64(synced))
}

// decodeMap returns what is there, as the current boot may know it.
func decodeMap(r io.Reader, boot string) ([]interval, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxMap))
	if err != nil {
		return nil, err
	}
	if len(b) < mapHead || !strings.HasPrefix(string(b), mapMagic) {
		return nil, errMap
	}
	same := boot != "" && strings.TrimRight(string(b[len(mapMagic):mapHead]), "\x00") == boot
	var all []interval
	for b = b[mapHead:]; len(b) >= slotSize; b = b[slotSize:] {
		at := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
		i := interval{at(0), at(2)}
		if same {
			i.to = at(1)
		}
		all = append(all, i)
	}
	return all, nil
}
