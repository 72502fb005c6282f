package engine

// heap is a binary heap whose items know their own place in it, so that one in
// the middle can be moved or taken out. An item is in at most one heap of its
// kind; place is where it keeps its index, counted from 1, 0 meaning absent.
type heap[T any] struct {
	items []T
	less  func(a, b T) bool
	place func(T) *int
}

func (h *heap[T]) len() int { return len(h.items) }

// top returns the least item; the heap must not be empty.
func (h *heap[T]) top() T { return h.items[0] }

// fix puts item in, or to its right place after its key changed.
func (h *heap[T]) fix(item T) {
	at := h.place(item)
	if *at == 0 {
		h.items = append(h.items, item)
		*at = len(h.items)
	}
	if i := *at - 1; !h.down(i) {
		h.up(i)
	}
}

// remove takes item out if it is in.
func (h *heap[T]) remove(item T) {
	at := h.place(item)
	if *at == 0 {
		return
	}
	i, last := *at-1, len(h.items)-1
	h.swap(i, last)
	var none T
	h.items[last] = none // let go of it
	h.items = h.items[:last]
	*at = 0
	if i < last && !h.down(i) {
		h.up(i)
	}
	if cap(h.items) > 1024 && len(h.items) < cap(h.items)/4 {
		h.items = append(make([]T, 0, cap(h.items)/2), h.items...) // give memory back after a rush
	}
}

func (h *heap[T]) pop() T {
	item := h.top()
	h.remove(item)
	return item
}

// second returns the least item besides the top, if there is one.
func (h *heap[T]) second() (item T, ok bool) {
	switch len(h.items) {
	case 0, 1:
		return item, false
	case 2:
		return h.items[1], true
	}
	if h.less(h.items[2], h.items[1]) {
		return h.items[2], true
	}
	return h.items[1], true
}

func (h *heap[T]) swap(i, j int) {
	if i == j {
		return
	}
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.place(h.items[i]), *h.place(h.items[j]) = i+1, j+1
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
