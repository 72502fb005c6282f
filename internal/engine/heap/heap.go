package heap

// Heap is a binary heap. It is not safe for concurrent use.
type Heap[T any] struct {
	// Items are in the order of the heap. Only the methods change them.
	Items []T
	// Less is the order; it must be total, so that the order of insertion decides nothing.
	Less func(a, b T) bool
	// Place is where an item keeps its index, counted from 1; 0 = absent. An item is in at
	// most one of the heaps that share a place.
	Place func(T) *int32
}

// Len returns the number of items.
func (h *Heap[T]) Len() int { return len(h.Items) }

// Top returns the least item; the heap must not be empty.
func (h *Heap[T]) Top() T { return h.Items[0] }

// Fix inserts the item, or moves it to its right place after its key changed.
func (h *Heap[T]) Fix(item T) {
	at := h.Place(item)
	if *at == 0 {
		h.Items = append(h.Items, item)
		*at = int32(len(h.Items)) // limits.max_pending is far below 2^31
	}
	if i := int(*at) - 1; !h.down(i) {
		h.up(i)
	}
}

// Remove removes the item if it is there.
func (h *Heap[T]) Remove(item T) {
	at := h.Place(item)
	if *at == 0 {
		return
	}
	i, last := int(*at)-1, len(h.Items)-1
	h.swap(i, last)
	var none T
	h.Items[last] = none // for the garbage collector
	h.Items = h.Items[:last]
	*at = 0
	if i < last && !h.down(i) {
		h.up(i)
	}
	if cap(h.Items) > 1024 && len(h.Items) < cap(h.Items)/4 {
		h.Items = append(make([]T, 0, cap(h.Items)/2), h.Items...) // give memory back after a rush
	}
}

// Best returns the least item that is not skipped, if there is one. It looks only
// at the skipped ones and their children, and costs the logarithm of their number for each.
func (h *Heap[T]) Best(skip func(T) bool) (item T, ok bool) {
	var next []int // indexes of the items that are looked at next, in the order of a heap
	add := func(i int) {
		if i >= len(h.Items) {
			return
		}
		next = append(next, i)
		for at := len(next) - 1; at > 0 && h.Less(h.Items[next[at]], h.Items[next[(at-1)/2]]); at = (at - 1) / 2 {
			next[at], next[(at-1)/2] = next[(at-1)/2], next[at]
		}
	}
	add(0)
	for len(next) > 0 {
		i, last := next[0], len(next)-1
		if !skip(h.Items[i]) {
			return h.Items[i], true
		}
		next[0] = next[last]
		next = next[:last]
		for at := 0; ; {
			child := 2*at + 1
			if child >= last {
				break
			}
			if right := child + 1; right < last && h.Less(h.Items[next[right]], h.Items[next[child]]) {
				child = right
			}
			if !h.Less(h.Items[next[child]], h.Items[next[at]]) {
				break
			}
			next[at], next[child] = next[child], next[at]
			at = child
		}
		add(2*i + 1)
		add(2*i + 2)
	}
	return item, false
}

// Rebuild restores the order after many keys have changed.
func (h *Heap[T]) Rebuild() {
	for i := len(h.Items)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

// Disorder returns the index of an item that is out of order or has a wrong place; -1 means that
// all are in order. It looks at all items: it is for tests.
func (h *Heap[T]) Disorder() int {
	for i, item := range h.Items {
		if int(*h.Place(item)) != i+1 || i > 0 && h.Less(item, h.Items[(i-1)/2]) {
			return i
		}
	}
	return -1
}

func (h *Heap[T]) swap(i, j int) {
	if i == j {
		return
	}
	h.Items[i], h.Items[j] = h.Items[j], h.Items[i]
	*h.Place(h.Items[i]), *h.Place(h.Items[j]) = int32(i+1), int32(j+1)
}

func (h *Heap[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.Less(h.Items[i], h.Items[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

// down reports whether the item moved.
func (h *Heap[T]) down(i int) bool {
	start := i
	for {
		child := 2*i + 1
		if child >= len(h.Items) {
			break
		}
		if right := child + 1; right < len(h.Items) && h.Less(h.Items[right], h.Items[child]) {
			child = right
		}
		if !h.Less(h.Items[child], h.Items[i]) {
			break
		}
		h.swap(i, child)
		i = child
	}
	return i > start
}
