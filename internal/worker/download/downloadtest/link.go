package downloadtest

import "testing"

// freshLink gives a job that has a part of its file another link to that: with
// another query, or under another name.
func freshLink(t *testing.T, h harness) {
	data := Data(4 << 20)
	for id, fresh := range map[string]string{"another-query": "/file?token=2", "another-name": "/elsewhere/other"} {
		t.Run(id, func(t *testing.T) {
			var throttle Throttle
			throttle.Set(2 << 20)
			s := Serve(t, throttle.Slow(Content(data)))
			job := Job(t, id, s.URL+"/file?token=1")
			Add(t, h.shared, job)
			Await(t, h.shared, id, Reached(2<<20))
			Remove(t, h.shared, id)
			throttle.Set(resumed)
			task := *job.Task
			task.URL = s.URL + fresh
			job.Task = &task
			Add(t, h.shared, job)
			MustComplete(t, h.shared, job, data)
			checkSent(t, s, data, 150)
		})
	}
}
