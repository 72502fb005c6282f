package api

import "github.com/aria-cluster/dispatcher/pkg/model"

// Lease is the right to decide, which one dispatcher of several has.
type Lease interface {
	// Term returns the number of this leadership.
	Term() int64
	// Held reports whether no other dispatcher can lead now.
	Held() bool
}

// term returns the term of the leader, 0 without standbys.
func (s *Service) term() int64 {
	if s.lease == nil {
		return 0
	}
	return s.lease.Term()
}

// Leads reports whether no other dispatcher can lead now.
func (s *Service) Leads() bool { return s.lease == nil || s.lease.Held() }

// role returns the role of a dispatcher that answers requests.
func (s *Service) role() string {
	if s.lease == nil {
		return model.RoleAlone
	}
	return model.RoleLeader
}
