package worker

import (
	"context"
	"math"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	healthInterval = 10 * time.Second
	firstSample    = time.Second // how long the first heartbeat waits for it
)

// sample is one measurement of the machine.
type sample struct {
	metrics   model.HealthMetrics
	diskSpace int64 // bytes of the file system of the download folder
}

// measurer returns a function that measures the machine and the file system of dir. A
// value that cannot be measured is 0.
func measurer(dir string) func(context.Context) sample {
	return func(ctx context.Context) sample {
		var s sample
		m := &s.metrics
		if percent, err := cpu.PercentWithContext(ctx, 0, false); err == nil && len(percent) > 0 {
			m.CPUUsage = finite(percent[0])
		}
		if v, err := mem.VirtualMemoryWithContext(ctx); err == nil {
			m.MemoryUsage = finite(v.UsedPercent)
		}
		if v, err := disk.UsageWithContext(ctx, dir); err == nil {
			m.DiskUsage = finite(v.UsedPercent)
			m.DiskFree, s.diskSpace = int64(v.Free), int64(v.Total)
		}
		if v, err := net.IOCountersWithContext(ctx, false); err == nil && len(v) > 0 {
			m.NetworkRX, m.NetworkTX = int64(v[0].BytesRecv), int64(v[0].BytesSent)
		}
		if v, err := host.UptimeWithContext(ctx); err == nil {
			m.Uptime = float64(v)
		}
		return s
	}
}

// finite is x, or 0 where JSON has no number for it.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}

// startHealth measures until ctx ends. It waits at most firstSample for the first
// measurement: a file system that hangs must not prevent the start of the worker.
func (w *Worker) startHealth(ctx context.Context) {
	first := make(chan struct{})
	measure := w.measure
	go func() {
		ticker := time.NewTicker(healthInterval)
		defer ticker.Stop()
		for begun := false; ctx.Err() == nil; {
			s := measure(ctx)
			w.health.Store(&s)
			if !begun {
				begun = true
				close(first)
			}
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	}()
	wait := time.NewTimer(firstSample)
	defer wait.Stop()
	select {
	case <-first:
	case <-wait.C:
	}
}
