package download

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// RetryAfter returns how long a 429 or 503 response asks to wait: its header
// Retry-After, in seconds or as a date, at most [model.MaxRetryAfter]. It is 0 where
// the header is missing, cannot be read, or names a time in the past.
func RetryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	const longest = time.Duration(model.MaxRetryAfter)
	text := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if seconds, ok := parseSeconds(text, int64(longest/time.Second)); ok {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), longest)
}

// parseSeconds reads a whole number without a sign, however long it is; more than most
// counts as most.
func parseSeconds(text string, most int64) (n int64, ok bool) {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), most)
	}
	return n, text != ""
}

// maxOwnWait is the longest Retry-After of a 503 that is waited for within the attempt.
// Until a longer one is over, the slot is for other tasks.
const maxOwnWait = 5 * time.Second

// MustWait reports whether the server asked for fewer requests, or for a long pause: the
// dispatcher's next attempt is the answer, not another try from here.
func MustWait(err error) bool {
	return errors.Is(err, StatusError(http.StatusTooManyRequests)) || RetryAfterOf(err) > maxOwnWait
}

// ClearRetryAfter makes an error of a mirror ask for no wait: what a mirror asks must
// not stop the other tasks at the host of the task's url.
func ClearRetryAfter(err error) {
	var response *ResponseError
	if errors.As(err, &response) {
		response.RetryAfter = 0
	}
}

// WholeSeconds rounds a wait up, for a report; a past one is 0.
func WholeSeconds(d time.Duration) int { return int((max(d, 0) + time.Second - 1) / time.Second) }

// RetryAfterOf returns the wait that the response in err's chain asks for, 0 without one.
func RetryAfterOf(err error) time.Duration {
	var response *ResponseError
	if errors.As(err, &response) {
		return response.RetryAfter
	}
	return 0
}
