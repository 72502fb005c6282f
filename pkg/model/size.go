package model

// CheckSize returns CodeTooLarge if the spec has more than limit bytes as JSON: its
// assignment would not fit into a message to a worker. A limit of 0 allows any size.
func (s *TaskSpec) CheckSize(limit int) *Error {
	if limit <= 0 || s.sizeBound() <= limit {
		return nil
	}
	if n := len(s.append([]byte{'{'}, writer{})) + len("}"); n > limit {
		return Errorf(CodeTooLarge, "body: the task has %d bytes, more than the %d that fit into one message"+
			" to a worker (max_payload of the NATS server)", n, limit)
	}
	return nil
}

// sizeBound is a size that the spec does not exceed as JSON, in bytes: it allows for
// each character to be escaped. It costs no memory.
func (s *TaskSpec) sizeBound() int {
	const (
		members = 512 // the names of all fields, and the numbers
		quotes  = 6   // "":"", of a pair
	)
	text := len(s.ID) + len(s.URL) + len(s.Folder) + len(s.Checksum)
	elements := len(s.Mirrors) + len(s.Options) + len(s.Tags) + len(s.Labels)
	for _, m := range s.Mirrors {
		text += len(m)
	}
	for name, values := range s.Options {
		text += len(name)
		elements += len(values)
		for _, v := range values {
			text += len(v)
		}
	}
	for _, pairs := range []map[string]string{s.Tags, s.Labels} {
		for name, value := range pairs {
			text += len(name) + len(value)
		}
	}
	inline := (len(s.Torrent)+2)/3*4 + (len(s.Metalink)+2)/3*4
	return members + quotes*elements + 2*text + inline
}
