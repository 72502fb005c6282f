package engine

// heap is a binary heap whose items know their own place in it, so that one in
// the middle can be moved or taken out. An item is in at most one heap of its
// kind; place is where it keeps its index, counted from 1, 0 meaning absent.
type heap[T any] struct {
	items []T
	less  func(a, b T) bool
	place func(T) *int32
}

func (h *heap[T]) len() int { return len(h.items) }

// top returns the least item; the heap must not be empty.
func (h *heap[T]) top() T { return h.items[0] }

// fix puts item in, or to its right place after its key changed.
func (h *heap[T]) fix(item T) {
	at := h.place(item)
	if *at == 0 {
		h.items = append(h.items, item)
		*at = int32(len(h.items)) // limits.max_pending is far below 2^31
	}
	if i := int(*at) - 1; !h.down(i) {
		h.up(i)
	}
}

// remove takes item out if it is in.
func (h *heap[T]) remove(item T) {
	at := h.place(item)
	if *at == 0 {
		return
	}
	i, last := int(*at)-1, len(h.items)-1
	h.swap(i, last)
	var none T
	h.items[last] = none // for the garbage collector
	h.items = h.items[:last]
	*at = 0
	if i < last && !h.down(i) {
		h.up(i)
	}
	if cap(h.items) > 1024 && len(h.items) < cap(h.items)/4 {
		h.items = append(make([]T, 0, cap(h.items)/2), h.items...) // give memory back after a rush
	}
}

// best returns the least item that is not skipped, if there is one. It looks only
// at the skipped ones and their children.
func (h *heap[T]) best(skip func(T) bool) (item T, ok bool) {
	frontier := []int{0}
	for len(frontier) > 0 {
		least := 0
		for k, i := range frontier {
			if i < len(h.items) && (frontier[least] >= len(h.items) || h.less(h.items[i], h.items[frontier[least]])) {
				least = k
			}
		}
		i := frontier[least]
		if i >= len(h.items) {
			return item, false
		}
		if !skip(h.items[i]) {
			return h.items[i], true
		}
		frontier[least] = 2*i + 1
		frontier = append(frontier, 2*i+2)
	}
	return item, false
}

// rebuild puts everything right after many keys have changed.
func (h *heap[T]) rebuild() {
	for i := len(h.items)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h *heap[T]) swap(i, j int) {
	if i == j {
		return
	}
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.place(h.items[i]), *h.place(h.items[j]) = int32(i+1), int32(j+1)
}

func (h *heap[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(h.items[i], h.items[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

// down reports whether the item moved.
func (h *heap[T]) down(i int) bool {
	start := i
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			break
		}
		if right := child + 1; right < len(h.items) && h.less(h.items[right], h.items[child]) {
			child = right
		}
		if !h.less(h.items[child], h.items[i]) {
			break
		}
		h.swap(i, child)
		i = child
	}
	return i > start
}
