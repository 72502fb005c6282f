package engine

import (
	"math/rand/v2"
	"testing"
)

type heapItem struct {
	key int
	at  int32
}

// A heap stays in order whatever is put in changed and taken out.
func TestHeap_AnyChangeKeepsOrder(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		h := heap[*heapItem]{
			less:  func(a, b *heapItem) bool { return a.key < b.key },
			place: func(i *heapItem) *int32 { return &i.at },
		}
		for range 500 {
			switch n := h.len(); {
			case n < 5 || r.IntN(3) == 0:
				h.fix(&heapItem{key: r.IntN(1000)})
			case r.IntN(2) == 0:
				item := h.items[r.IntN(n)]
				item.key = r.IntN(1000)
				h.fix(item)
			default:
				item := h.items[r.IntN(n)]
				if h.remove(item); item.at != 0 {
					t.Fatal("what was taken out believes that it is in")
				}
			}
			checkHeap(t, &h)
		}
		for _, item := range h.items {
			item.key = r.IntN(1000)
		}
		h.rebuild()
		checkHeap(t, &h)
	}
}
