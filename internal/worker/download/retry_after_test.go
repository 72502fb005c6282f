package download

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// Both forms of the header are parsed. An unreasonable value means no wait, or the
// longest one.
func TestRetryAfter_ReadsSecondsAndDates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "0007": 7 * time.Second,
		"-5": 0, "+5": 0, "1.5": 0, "1e3": 0, "soon": 0,
		"1000000000000":                  24 * time.Hour,
		"99999999999999999999999999":     24 * time.Hour,
		"Sun, 29 Nov 2026 03:00:10 GMT":  10 * time.Second,
		"Sunday, 29-Nov-26 03:00:10 GMT": 10 * time.Second,
		"Sun Nov 29 03:00:10 2026":       10 * time.Second,
		"Wed, 21 Oct 2015 07:28:00 GMT":  0,
		"Fri, 31 Dec 9999 23:59:59 GMT":  24 * time.Hour,
		"Sun, 29 Nov 2026 03:00:10 CEST": 0,
	} {
		for _, status := range []int{429, 503, 500, 200} {
			expect := want
			if status != 429 && status != 503 {
				expect = 0
			}
			resp := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {value}}}
			if got := RetryAfter(resp, now); got != expect {
				t.Errorf("%d with %q: %v, want %v", status, value, got, expect)
			}
		}
	}
}

// The wait is found in a wrapped error, and a mirror's is cleared.
func TestRetryAfterOf_WrappedResponse(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("a try: %w", &ResponseError{Status: 503, RetryAfter: 6 * time.Second})
	if RetryAfterOf(err) != 6*time.Second || !MustWait(err) {
		t.Errorf("%v, must wait: %v", RetryAfterOf(err), MustWait(err))
	}
	ClearRetryAfter(err)
	if RetryAfterOf(err) != 0 || MustWait(err) {
		t.Errorf("a cleared error asks for %v", RetryAfterOf(err))
	}
	if !MustWait(StatusError(429)) || MustWait(StatusError(503)) || RetryAfterOf(nil) != 0 {
		t.Error("a status without the header is judged wrongly")
	}
}
