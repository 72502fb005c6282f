package natsapi

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go/micro"
)

// FuzzPing is what another dispatcher says of itself: of two exactly one is the older.
func FuzzPing(f *testing.F) {
	f.Add([]byte(`{"name":"aria-dispatcher","id":"b","version":"1.0.0","metadata":{"prefix":"aria.v1","dispatcher":"h, pid 1","started":"2026-11-22T12:00:00Z"}}`))
	f.Add([]byte(`{"id":"a","metadata":null}`))
	f.Add([]byte(`{"id":"a","metadata":{"started":"0000-01-01T00:00:00+23:59"}}`))
	ours := micro.ServiceIdentity{ID: "a", Metadata: map[string]string{metaStarted: "2026-11-22T12:00:00Z"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		var other micro.Ping
		if json.Unmarshal(data, &other) != nil {
			return
		}
		if describe(other) == "" {
			t.Error("it has no name")
		}
		they, we := olderThan(other.ServiceIdentity, ours), olderThan(ours, other.ServiceIdentity)
		if they && we || !they && !we && other.ID != ours.ID {
			t.Errorf("%+v: they are older: %v, we are: %v", other, they, we)
		}
	})
}
