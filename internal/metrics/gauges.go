package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// workerStatuses are those that a worker in memory can have.
var workerStatuses = []model.WorkerStatus{
	model.WorkerOnline, model.WorkerBusy, model.WorkerDraining, model.WorkerOffline, model.WorkerError,
}

// gauges reads its sources once a scrape, so that its values fit together.
type gauges struct {
	sources Sources
	info    prometheus.Metric
	all     []*prometheus.Desc

	leader, term, conflict, unmetSync         *prometheus.Desc
	tasks, waiting, oldest                    *prometheus.Desc
	speed, workers, slots, used, heartbeatAge *prometheus.Desc
	inboxDepth, storeBytes, lostCommits       *prometheus.Desc
	intakePending, intakeParked, deadLetters  *prometheus.Desc
	natsConnected, natsReconnects             *prometheus.Desc
}

func newGauges(o *Options) *gauges {
	var all []*prometheus.Desc
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc(name, help, labels, nil)
		all = append(all, d)
		return d
	}
	g := &gauges{
		sources: o.Sources,
		info: prometheus.MustNewConstMetric(prometheus.NewDesc("aria_build_info", "The version of this dispatcher; always 1.", nil, build(o)),
			prometheus.GaugeValue, 1),
		leader:         desc("aria_leader", "1 if this dispatcher assigns tasks, 0 if it stands by."),
		term:           desc("aria_term", "The term of the leader; 0 without standbys."),
		conflict:       desc("aria_leader_conflict", "1 if this dispatcher does not lead because another database with its store_id has a leader."),
		unmetSync:      desc("aria_require_sync_unmet", "1 if database.require_sync is set and PostgreSQL may lose acknowledged tasks, as of some seconds ago."),
		tasks:          desc("aria_tasks", "Tasks in the store, by status.", "status"),
		waiting:        desc("aria_tasks_waiting", "Pending tasks, by why they wait.", "reason"),
		oldest:         desc("aria_oldest_waiting_seconds", "Age of the oldest pending task that waits for a worker; 0 if none does.", "priority"),
		speed:          desc("aria_download_speed_bytes", "Speed of all downloads as reported, in bytes a second."),
		workers:        desc("aria_workers", "Workers, by status.", "status"),
		slots:          desc("aria_slots", "Slots of the workers that are neither offline nor in an error."),
		used:           desc("aria_slots_used", "Slots of these workers that are taken."),
		heartbeatAge:   desc("aria_heartbeat_age_max_seconds", "Age of the oldest last heartbeat among the workers that are not offline."),
		inboxDepth:     desc("aria_inbox_depth", "Operations that wait for a turn; large ones count more."),
		storeBytes:     desc("aria_store_bytes", "Size of the files of the store; 0 if it has none."),
		lostCommits:    desc("aria_commits_lost_total", "Commits that PostgreSQL had confirmed and has no longer, after a failover or a restored backup."),
		intakePending:  desc("aria_intake_pending", "Messages of the intake without a decision, as of some seconds ago."),
		intakeParked:   desc("aria_intake_parked", "Messages of the intake above the limits of their client, as of some seconds ago."),
		deadLetters:    desc("aria_dlq_messages", "Dead letters of the intake, as of some seconds ago."),
		natsConnected:  desc("aria_nats_connected", "1 if the connection to NATS is up."),
		natsReconnects: desc("aria_nats_reconnects_total", "Times that the connection to NATS was made again."),
	}
	all = append(all, g.info.Desc())
	g.all = all
	return g
}

// Describe implements [prometheus.Collector].
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range g.all {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ch <- g.info
	leads, term := g.sources.Leads()
	gauge(g.leader, oneIf(leads))
	gauge(g.term, float64(term))
	gauge(g.unmetSync, oneIf(g.sources.UnmetSync()))
	gauge(g.conflict, oneIf(g.sources.LeaderConflict()))
	g.collectFigures(gauge)
	gauge(g.inboxDepth, float64(g.sources.InboxDepth()))
	gauge(g.storeBytes, float64(g.sources.StoreBytes()))
	ch <- prometheus.MustNewConstMetric(g.lostCommits, prometheus.CounterValue, float64(g.sources.LostCommits()))
	intake := g.sources.Intake()
	gauge(g.intakePending, float64(intake.Pending))
	gauge(g.intakeParked, float64(intake.Parked))
	gauge(g.deadLetters, float64(intake.DeadLetters))
	connected, reconnects := g.sources.NATS()
	gauge(g.natsConnected, oneIf(connected))
	ch <- prometheus.MustNewConstMetric(g.natsReconnects, prometheus.CounterValue, float64(reconnects))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (g *gauges) collectFigures(gauge func(d *prometheus.Desc, value float64, labels ...string)) {
	f := g.sources.Figures()
	for _, s := range model.Statuses {
		gauge(g.tasks, float64(f.Tasks[s]), string(s))
	}
	for _, reason := range engine.WaitReasons {
		gauge(g.waiting, float64(f.Waiting[reason]), string(reason))
	}
	for p := model.PriorityLow; p <= model.PriorityUrgent; p++ {
		gauge(g.oldest, f.OldestWaiting[p].Std().Seconds(), p.String())
	}
	gauge(g.speed, float64(f.DownloadSpeed))
	for _, s := range workerStatuses {
		gauge(g.workers, float64(f.Workers[s]), string(s))
	}
	gauge(g.slots, float64(f.Slots))
	gauge(g.used, float64(f.UsedSlots))
	gauge(g.heartbeatAge, f.HeartbeatAgeMax.Std().Seconds())
}
