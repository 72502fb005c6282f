package memory

import (
	"slices"
	"sort"
)

// blockSize bounds what one insertion moves.
const blockSize = 512

// ordered is a set of rows in the order of their seq. It is cut into blocks, so
// that adding and removing anywhere costs a binary search and the shift of one
// block, however many rows there are.
type ordered struct {
	blocks [][]entry // none is empty
	size   int
}

// entry holds the seq beside the row, so that a search stays in one block.
type entry struct {
	seq int64
	row *row
}

// block returns the index of the block in which seq is or belongs.
func (o *ordered) block(seq int64) int {
	i := sort.Search(len(o.blocks), func(i int) bool { return o.blocks[i][0].seq > seq })
	return max(i-1, 0)
}

func search(block []entry, seq int64) (int, bool) {
	return slices.BinarySearchFunc(block, seq, func(e entry, seq int64) int {
		switch {
		case e.seq < seq:
			return -1
		case e.seq > seq:
			return 1
		}
		return 0
	})
}

// add puts the row in, which is not there yet.
func (o *ordered) add(r *row) {
	seq := r.task.Seq
	o.size++
	if len(o.blocks) == 0 {
		o.blocks = append(o.blocks, []entry{{seq, r}})
		return
	}
	b := o.block(seq)
	i, _ := search(o.blocks[b], seq)
	o.blocks[b] = slices.Insert(o.blocks[b], i, entry{seq, r})
	full := o.blocks[b]
	if len(full) < blockSize {
		return
	}
	// Rows mostly come at the end: leave the old block nearly full then.
	cut := blockSize / 2
	if b == len(o.blocks)-1 && i == len(full)-1 {
		cut = blockSize - 1
	}
	o.blocks = slices.Insert(o.blocks, b+1, slices.Clone(full[cut:]))
	o.blocks[b] = slices.Clip(slices.Delete(full, cut, len(full)))
}

// remove takes the row with seq out.
func (o *ordered) remove(seq int64) {
	if len(o.blocks) == 0 {
		return
	}
	b := o.block(seq)
	i, found := search(o.blocks[b], seq)
	if !found {
		return
	}
	o.size--
	o.blocks[b] = slices.Delete(o.blocks[b], i, i+1)
	// A small block is merged with its neighbour: otherwise a few old rows would keep
	// a block each.
	minSize := blockSize / 4
	switch size := len(o.blocks[b]); {
	case size == 0:
		o.blocks = slices.Delete(o.blocks, b, b+1)
	case size < minSize && b+1 < len(o.blocks) && len(o.blocks[b+1]) < minSize:
		o.blocks[b] = append(o.blocks[b], o.blocks[b+1]...)
		o.blocks = slices.Delete(o.blocks, b+1, b+2)
	case size < minSize && b > 0 && len(o.blocks[b-1]) < minSize:
		o.blocks[b-1] = append(o.blocks[b-1], o.blocks[b]...)
		o.blocks = slices.Delete(o.blocks, b, b+1)
	}
}

// has reports whether a row with seq is in.
func (o *ordered) has(seq int64) bool {
	if len(o.blocks) == 0 {
		return false
	}
	_, found := search(o.blocks[o.block(seq)], seq)
	return found
}

// last returns the highest seq, 0 of an empty list.
func (o *ordered) last() int64 {
	if len(o.blocks) == 0 {
		return 0
	}
	b := o.blocks[len(o.blocks)-1]
	return b[len(b)-1].seq
}

// walk is a place in an ordered set, from which it goes up or down. It must not
// outlive a change of the set.
type walk struct {
	set  *ordered
	down bool
	b, i int
}

// from starts at the first row beyond seq in the direction; seq 0 is the end
// from which the direction starts.
func (o *ordered) from(seq int64, down bool) walk {
	w := walk{set: o, down: down}
	switch {
	case len(o.blocks) == 0:
		w.b = -1
	case down && seq == 0:
		w.b = len(o.blocks) - 1
		w.i = len(o.blocks[w.b]) - 1
	case down:
		w.b = o.block(seq)
		w.i, _ = search(o.blocks[w.b], seq)
		w.i--
	default:
		w.b = o.block(seq)
		i, found := search(o.blocks[w.b], seq)
		if w.i = i; found {
			w.i++
		}
	}
	w.skipEmptyBlocks()
	return w
}

// skipEmptyBlocks moves a place that ran over the edge of its block into the next one.
func (w *walk) skipEmptyBlocks() {
	switch {
	case w.b < 0 || w.b >= len(w.set.blocks):
	case w.down && w.i < 0:
		if w.b--; w.b >= 0 {
			w.i = len(w.set.blocks[w.b]) - 1
		}
	case !w.down && w.i >= len(w.set.blocks[w.b]):
		w.b, w.i = w.b+1, 0
	}
}

// peek returns the entry at the place; false at the end.
func (w *walk) peek() (entry, bool) {
	if w.b < 0 || w.b >= len(w.set.blocks) {
		return entry{}, false
	}
	return w.set.blocks[w.b][w.i], true
}

// advance goes to the next entry.
func (w *walk) advance() {
	if w.down {
		w.i--
	} else {
		w.i++
	}
	w.skipEmptyBlocks()
}
