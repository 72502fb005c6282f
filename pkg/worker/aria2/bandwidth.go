package aria2

import (
	"context"
	"fmt"
	"strconv"
)

// SetBandwidth changes what all downloads together may use, in bytes/s; 0 is no limit.
// It fails while aria2c is started again: call it again.
func (e *Engine) SetBandwidth(ctx context.Context, bandwidth int64) error {
	s := e.current()
	if s.client == nil {
		return errDown
	}
	options := map[string]string{"max-overall-download-limit": strconv.FormatInt(bandwidth, 10)}
	if err := s.client.call(ctx, nil, "aria2.changeGlobalOption", options); err != nil {
		return fmt.Errorf("aria2: set the bandwidth: %w", err)
	}
	return nil
}
