package postgres

import "sync/atomic"

// position is where the rows of the table counters begin at the writer's server. Those before
// it were folded; while an old transaction keeps their dead versions, only a condition on the
// index passes them by. It is safe for concurrent use.
type position struct{ p atomic.Pointer[place] }

// place is a position at one server.
type place struct {
	server int64 // when the server was started, in microseconds since 1970
	at     int64 // 0: not known
}

// begin forgets the position: another server may have lost the commit that it is of.
func (p *position) begin(server int64) { p.p.Store(&place{server: server}) }

// get returns the position, 0 where it is not known.
func (p *position) get() int64 {
	if now := p.p.Load(); now != nil {
		return now.at
	}
	return 0
}

// fold notes that the writer has replaced all rows by one.
func (p *position) fold(at int64) { p.p.Store(&place{p.p.Load().server, at}) }

// found notes the first row that a reader has found while the position was not known, unless
// it was at another server.
func (p *position) found(server, at int64) {
	if now := p.p.Load(); now != nil && now.at == 0 && now.server == server {
		p.p.CompareAndSwap(now, &place{server, at})
	}
}
