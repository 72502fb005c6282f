package dispatch

import "github.com/aria-cluster/dispatcher/pkg/model"

// maxPendingRows bounds the bytes of the rows that are kept for their assignment: some 25,000
// plain tasks.
const maxPendingRows = 16 << 20

// pendingRows is the rows of new tasks that wait for a worker, as the store has them except
// their history, which no assignment needs. So an assignment reads none. It is a cache: whatever
// changes a row takes it out, a reload of the engine empties it, and what does not fit is read
// from the store when it is assigned. The first to come stay, because they are assigned first.
type pendingRows struct {
	rows map[string]pendingRow
	size int
}

type pendingRow struct {
	task *model.Task
	size int
}

// apply follows the committed changes. It adds the rows that it has to those that the turn
// has at hand.
func (p *pendingRows) apply(changes []model.TaskChange, written map[string]*model.Task) {
	for i := range changes {
		c := &changes[i]
		if before := p.take(c.ID); before != nil && written[c.ID] == nil {
			written[c.ID] = c.Apply(before)
		}
		if c.Put != nil && c.Put.Status == model.StatusPending {
			p.add(c.Put)
		}
	}
}

func (p *pendingRows) take(id string) *model.Task {
	row := p.rows[id]
	delete(p.rows, id)
	p.size -= row.size
	return row.task
}

func (p *pendingRows) add(row *model.Task) {
	if row.History != nil {
		c := *row
		c.History = nil
		row = &c
	}
	size := rowSize(row)
	if p.size+size > maxPendingRows {
		return
	}
	if p.rows == nil {
		p.rows = make(map[string]pendingRow)
	}
	p.rows[row.ID] = pendingRow{row, size}
	p.size += size
}

// rowSize estimates the memory of a row. It counts what may be large.
func rowSize(t *model.Task) int {
	const fixed, pair = 650, 64
	size := fixed + len(t.URL) + len(t.Torrent) + len(t.Metalink)
	if t.Error != nil {
		size += pair + len(t.Error.Message)
	}
	for _, m := range t.Mirrors {
		size += pair + len(m)
	}
	for _, m := range []map[string]string{t.Tags, t.Labels} {
		for k, v := range m {
			size += pair + len(k) + len(v)
		}
	}
	for k, values := range t.Options {
		size += pair + len(k)
		for _, v := range values {
			size += pair + len(v)
		}
	}
	return size
}
