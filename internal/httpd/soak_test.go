//go:build soak

package httpd

import "testing"

// 10,000 idle streams are bounded as fewer are.
func TestSoakEvents_IdleStreamsAreBounded(t *testing.T) { testBoundedStreams(t, 10_000) }
