package model

// ClusterStatus summarises the cluster.
type ClusterStatus struct {
	Time          Time               `json:"time,omitzero"`     // of these figures, by the dispatcher's clock
	Version       string             `json:"version,omitempty"` // of the dispatcher
	Role          string             `json:"role,omitempty"`    // [RoleAlone] or [RoleLeader]
	Term          int64              `json:"term"`              // of the leader; 0: there are no standbys
	ActiveWorkers int                `json:"active_workers"`    // online, busy or draining
	TotalWorkers  int                `json:"total_workers"`
	TotalTasks    int64              `json:"total_tasks"`
	TasksByStatus Counts             `json:"tasks_by_status"` // every status, 0 too
	SystemLoad    float64            `json:"system_load"`     // percent of the active workers' slots in use
	TotalSlots    int                `json:"total_slots"`
	UsedSlots     int                `json:"used_slots"`
	DownloadSpeed int64              `json:"download_speed"`            // of all downloads, bytes/s
	Waiting       map[string]int     `json:"waiting,omitempty"`         // why pending tasks wait: a sentence to a number
	WaitReasons   map[string]int     `json:"waiting_reasons,omitempty"` // the same by eight fixed reasons, 0 too
	OldestWaiting map[string]float64 `json:"oldest_waiting,omitempty"`  // seconds, by priority: how long the first of those that could begin waits
	Clients       []ClientFigures    `json:"clients,omitempty"`         // the [MaxTop] with the most tasks, the first has most
	Hosts         []HostFigures      `json:"hosts,omitempty"`           // the [MaxTop] with the most tasks among the hosts with a limit or a cool-down
}

// The roles of a dispatcher. A standby answers no requests.
const (
	RoleAlone   = "alone" // it has no standbys
	RoleLeader  = "leader"
	RoleStandby = "standby"
)

// MaxTop is how many clients and hosts a [ClusterStatus] names.
const MaxTop = 20

// ClientFigures is how many live tasks a client has.
type ClientFigures struct {
	Client  string `json:"client"`
	Waiting int64  `json:"waiting"` // pending or paused
	Active  int64  `json:"active"`  // queued or downloading
}

// HostFigures is how many tasks are at a host or wait for it. Hosts that have neither a
// limit nor a cool-down are not counted.
type HostFigures struct {
	Host          string `json:"host"`
	Running       int    `json:"running"`                 // of a host with a limit
	Waiting       int    `json:"waiting"`                 // that could begin otherwise
	Limit         int    `json:"limit,omitempty"`         // 0: none
	Client        string `json:"client,omitempty"`        // of a cool-down: the client that waits
	CooldownUntil Time   `json:"cooldown_until,omitzero"` // of a cool-down: the host asked to wait until then; zero while one task tries
}
