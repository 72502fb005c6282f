package app

import (
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// engineConfig converts the configuration for the engine.
func engineConfig(c *config.Dispatcher) engine.Config {
	e := engine.Config{
		MaxAttempts:       c.TaskAssignment.MaxRetries + 1,
		MaxLosses:         c.TaskAssignment.MaxLosses,
		RetryBase:         c.TaskAssignment.RetryBase,
		RetryDelay:        c.TaskAssignment.RetryDelay,
		RetryAfterMax:     c.TaskAssignment.RetryAfterMax,
		RetryAfterFree:    c.TaskAssignment.RetryAfterFree,
		HeartbeatInterval: c.WorkerManagement.HeartbeatInterval,
		HeartbeatTimeout:  c.WorkerManagement.HeartbeatTimeout,
		MaxPending:        int64(c.Limits.MaxPending),
		ClientPending:     int64(c.Limits.ClientPending),
		MaxWorkers:        c.Limits.Workers,
		RequirementSets:   c.Limits.RequirementSets,
		Strategy:          placement.Strategy(c.TaskAssignment.Strategy),
		Ageing:            c.TaskAssignment.Ageing,
		PerHost:           c.Limits.PerHost,
		Hosts:             make(map[string]int, len(c.Limits.Hosts)),
		RetainIDs:         c.Retention.IDs,
	}
	for host, n := range c.Limits.Hosts {
		e.Hosts[model.NormalizeHost(host)] = n
	}
	if c.WorkerManagement.AutoRemoveOffline {
		e.OfflineThreshold = c.WorkerManagement.OfflineThreshold
	}
	return e
}

func retention(c *config.Dispatcher) dispatch.Retention {
	return dispatch.Retention{Completed: c.Retention.Completed, Failed: c.Retention.Failed, Canceled: c.Retention.Canceled}
}
