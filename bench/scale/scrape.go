package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// scrapeGoal is the time within which a scrape is answered, in ms.
const scrapeGoal = 20

// scrape measures how long 20 scrapes of /metrics take, compressed as Prometheus asks.
func (b *bench) scrape(ctx context.Context, i *instance) error {
	list := make([]float64, 20)
	var bytes int64
	for k := range list {
		took, n, err := i.scrape(ctx)
		if err != nil {
			return err
		}
		list[k], bytes = ms(took), n
	}
	b.table.most("scrape of /metrics, median of 20", middle(list), scrapeGoal, " ms")
	b.table.line("scrape of /metrics, slowest of 20", "%.1f ms", slices.Max(list))
	b.table.line("scrape of /metrics, uncompressed", "%.0f kB", float64(bytes)/1e3)
	return nil
}

func (i *instance) scrape(ctx context.Context) (time.Duration, int64, error) {
	base, _, _ := strings.Cut(i.server.Profiles, "/debug/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", http.NoBody)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", req.URL, res.Status)
	}
	return time.Since(start), n, err
}
