package queue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Job is what every system carries: about 300 bytes as JSON, and for ours a
// TaskSpec as it is. Its URL ends with its number and the time of its submission.
type Job struct {
	URL     string            `json:"url"`
	Options map[string]string `json:"options"`
	Labels  map[string]string `json:"labels"`
	Tags    map[string]string `json:"tags,omitempty"` // ours only: what the worker must have
}

// Kind implements river.JobArgs.
func (Job) Kind() string { return "download" }

// NewJob makes the job of that number, submitted now.
func NewJob(n int64) *Job {
	return &Job{
		URL: fmt.Sprintf("https://mirror-%02d.example.org/pool/main/l/linux-signed/linux-image-6.12.%d-amd64-unsigned.deb?n=%d&at=%d",
			n%97, n%1000, n, time.Now().UnixNano()),
		Options: map[string]string{"max-connection-per-server": "4", "split": "4", "user-agent": "Debian APT-HTTP/1.3 (3.0.3)"},
		Labels:  map[string]string{"project": "debian-mirror", "batch": strconv.FormatInt(n/1000, 10)},
	}
}

// parse reads the number and the time of submission out of a job's URL.
func parse(url string) (n int64, at time.Time, err error) {
	_, tail, _ := strings.Cut(url, "?n=")
	number, nanos, _ := strings.Cut(tail, "&at=")
	if n, err = strconv.ParseInt(number, 10, 64); err != nil {
		return 0, at, fmt.Errorf("a job with the url %q: %w", url, err)
	}
	t, err := strconv.ParseInt(nanos, 10, 64)
	if err != nil {
		return 0, at, fmt.Errorf("a job with the url %q: %w", url, err)
	}
	return n, time.Unix(0, t), nil
}
