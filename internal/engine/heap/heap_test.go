package heap

import (
	"math/rand/v2"
	"testing"
)

type heapItem struct {
	key int
	at  int32
}

// A heap stays in order after any insert, change and removal.
func TestHeap_AnyChangeKeepsOrder(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		h := Heap[*heapItem]{
			Less:  func(a, b *heapItem) bool { return a.key < b.key },
			Place: func(i *heapItem) *int32 { return &i.at },
		}
		for range 500 {
			switch n := h.Len(); {
			case n < 5 || r.IntN(3) == 0:
				h.Fix(&heapItem{key: r.IntN(1000)})
			case r.IntN(2) == 0:
				item := h.Items[r.IntN(n)]
				item.key = r.IntN(1000)
				h.Fix(item)
			default:
				item := h.Items[r.IntN(n)]
				if h.Remove(item); item.at != 0 {
					t.Fatal("a removed item has an index")
				}
			}
			check(t, &h)
		}
		for _, item := range h.Items {
			item.key = r.IntN(1000)
		}
		h.Rebuild()
		check(t, &h)
	}
}

// Best returns the first item in order that is not skipped, however many are.
func TestHeap_BestIsFirstNotSkipped(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	h := Heap[*heapItem]{
		Less:  func(a, b *heapItem) bool { return a.key < b.key },
		Place: func(i *heapItem) *int32 { return &i.at },
	}
	if _, ok := h.Best(func(*heapItem) bool { return false }); ok {
		t.Error("an empty heap has a best item")
	}
	const n = 300
	for _, key := range r.Perm(n) {
		h.Fix(&heapItem{key: key})
	}
	for first := range n + 1 {
		item, ok := h.Best(func(i *heapItem) bool { return i.key < first })
		if ok != (first < n) || ok && item.key != first {
			t.Fatalf("after %d skipped: %+v, %v", first, item, ok)
		}
	}
}

// BenchmarkBest skips all of 10,000 items.
func BenchmarkBest(b *testing.B) {
	h := Heap[*heapItem]{
		Less:  func(a, b *heapItem) bool { return a.key < b.key },
		Place: func(i *heapItem) *int32 { return &i.at },
	}
	for key := range 10_000 {
		h.Fix(&heapItem{key: key})
	}
	for b.Loop() {
		h.Best(func(*heapItem) bool { return true })
	}
}

func check[T any](t *testing.T, h *Heap[T]) {
	t.Helper()
	if i := h.Disorder(); i >= 0 {
		t.Fatalf("item %d of %d is out of order", i, h.Len())
	}
}
