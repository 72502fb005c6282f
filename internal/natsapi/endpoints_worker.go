package bus

import (
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// heartbeat may come without a reply subject; then it is only heard.
func (c *call) heartbeat() {
	h, faults, err := decodeHeartbeat(c.data, c.from.Name)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	for _, f := range faults {
		c.service.faulty.warn("a part of a heartbeat was repaired or skipped", "worker", c.from.Name, "task", f.task, "error", f.err)
	}
	c.do([]engine.Event{engine.Heartbeat{Heartbeat: h}}, func(a []model.Answer) {
		c.later(func(room int) reply {
			if a[0].Err != nil {
				return refuse(about(c.from.Name, a[0].Err))
			}
			return heartbeatReply(a[0].Heartbeat, room)
		})
	})
}

// reportResult is one entry of an answer to many reports.
type reportResult struct {
	Error *model.Error `json:"error,omitempty"`
}

// reportsBody is the answer to many reports.
type reportsBody struct {
	Results []reportResult `json:"results"`
	Drop    []model.Drop   `json:"drop,omitempty"`
}

func (c *call) report() {
	list, many, err := decodeReport(c.data, c.from.Name)
	if err != nil {
		c.reply(refuse(err))
		return
	}
	body := reportsBody{Results: make([]reportResult, len(list))}
	var ops []engine.Event
	var at []int
	for i, one := range list {
		if one.err != nil {
			c.service.faulty.warn("a report was refused", "worker", c.from.Name, "task", one.err.ID, "error", one.err)
			body.Results[i].Error = one.err
			continue
		}
		ops, at = append(ops, engine.Report{Worker: c.from.Name, Report: one.report}), append(at, i)
	}
	all := func(int) reply {
		if many {
			return answer(body)
		}
		return oneReport(body)
	}
	if len(ops) == 0 {
		c.soon(all)
		return
	}
	c.do(ops, func(answers []model.Answer) {
		for n, a := range answers {
			if a.Err != nil {
				body.Results[at[n]].Error = about(list[at[n]].report.ID, a.Err)
			}
			if a.Drop != nil {
				body.Drop = append(body.Drop, *a.Drop)
			}
		}
		c.later(all)
	})
}

// oneReport answers a single report: {}, or the error and what to drop.
func oneReport(body reportsBody) reply {
	err := body.Results[0].Error
	if err == nil && len(body.Drop) == 0 {
		return reply{body: []byte("{}")}
	}
	if err == nil {
		return answer(struct {
			Drop []model.Drop `json:"drop"`
		}{body.Drop})
	}
	r := answer(errorBody{Error: err, Drop: body.Drop})
	if r.err == nil {
		r.err = err
	}
	return r
}
