package natsapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"
)

// TestSchemas_DiscoveryHasThemAndIsBounded checks that discovery shows both schemas of
// each endpoint, in an answer that fits a message.
func TestSchemas_DiscoveryHasThemAndIsBounded(t *testing.T) {
	w := serve(t, &fakeBackend{})
	var info micro.Info
	discover(t, w.nc, "$SRV.INFO.aria-dispatcher", &info)
	for _, e := range info.Endpoints {
		bare := strings.HasSuffix(e.Name, "export") || strings.HasSuffix(e.Name, "import")
		if !bare && (e.Metadata["request_schema"] == "" || e.Metadata["response_schema"] == "") {
			t.Errorf("%s: its metadata is %v", e.Name, e.Metadata)
		}
	}
	if b, err := json.Marshal(info); err != nil || len(b) > 128<<10 || len(info.Endpoints) < 20 {
		t.Errorf("%d endpoints, the answer has %d bytes, %v", len(info.Endpoints), len(b), err)
	}
}
