package api

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// heartbeat may come without a reply subject; then it is applied and not answered.
func (c *call) heartbeat() {
	h, faults, err := wire.DecodeHeartbeat(c.data, c.from.Name)
	if err != nil {
		c.reply(refuse(wire.WithID(c.from.Name, err)))
		return
	}
	for _, f := range faults {
		c.service.workerFaults.Warn("a part of a heartbeat was repaired or skipped", "worker", c.from.Name, "task", f.Task, "error", f.Err)
	}
	c.do([]engine.Event{engine.Heartbeat{Heartbeat: h}}, func(a []engine.Answer) {
		c.replyFromLoop(func(room int) Reply {
			if a[0].Err != nil {
				return refuse(wire.WithID(c.from.Name, a[0].Err))
			}
			return heartbeatReply(a[0].Heartbeat, room)
		})
	})
}

// reportBody is the answer to one report that is applied.
type reportBody struct {
	Term int64        `json:"term,omitempty"`
	Drop []model.Drop `json:"drop,omitempty"`
}

// reportsBody is the answer to many reports.
type reportsBody struct {
	Term    int64               `json:"term,omitempty"`
	Results []wire.ReportResult `json:"results"`
	Drop    []model.Drop        `json:"drop,omitempty"`
}

func (c *call) report() {
	list, many, err := wire.DecodeReport(c.data, c.from.Name)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	body := reportsBody{Term: c.service.term(), Results: make([]wire.ReportResult, len(list))}
	var ops []engine.Event
	var at []int
	for i, one := range list {
		if one.Err != nil {
			c.service.workerFaults.Warn("a report was refused", "worker", c.from.Name, "task", one.Err.ID, "error", one.Err)
			body.Results[i].Error = one.Err
			continue
		}
		ops, at = append(ops, engine.Report{Worker: c.from.Name, Report: one.Report}), append(at, i)
	}
	c.doEach(ops, func(n int, a engine.Answer) {
		if a.Err != nil {
			body.Results[at[n]].Error = wire.WithID(list[at[n]].Report.ID, a.Err)
		}
		if a.Drop != nil {
			body.Drop = append(body.Drop, *a.Drop)
		}
	}, func(int) Reply {
		if many {
			return answer(body)
		}
		return oneReport(body)
	})
}

// oneReport answers a single report: the error and what to drop, or neither.
func oneReport(body reportsBody) Reply {
	err := body.Results[0].Error
	if err == nil {
		return answer(reportBody{Term: body.Term, Drop: body.Drop})
	}
	r := answer(wire.ErrorBody{Error: err, Term: body.Term, Drop: body.Drop})
	if r.Err == nil {
		r.Err = err
	}
	return r
}
