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

func check[T any](t *testing.T, h *Heap[T]) {
	t.Helper()
	if i := h.Disorder(); i >= 0 {
		t.Fatalf("item %d of %d is out of order", i, h.Len())
	}
}
