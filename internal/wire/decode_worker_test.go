package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// badHeldTasks are entries of a heartbeat that are not as they should be.
var badHeldTasks = []struct {
	name, entry string
	held        bool               // it names its attempt, and counts as held
	status      model.ReportStatus // with this status
}{
	{"length above every disk", `{"id":"bad","attempt":3,"status":"downloading","total_length":1152921504606846977}`, true, "downloading"},
	{"length above 64 bits", `{"id":"bad","attempt":3,"status":"downloading","total_length":99999999999999999999}`, true, "downloading"},
	{"negative length", `{"id":"bad","attempt":3,"status":"downloading","completed_length":-1}`, true, "downloading"},
	{"length in words", `{"id":"bad","attempt":3,"status":"completed","total_length":"5"}`, true, "completed"},
	{"fraction of a byte", `{"id":"bad","attempt":3,"status":"downloading","download_speed":0.5}`, true, "downloading"},
	{"progress above 100", `{"id":"bad","attempt":3,"status":"downloading","progress":100.1}`, true, "downloading"},
	{"progress that is infinite", `{"id":"bad","attempt":3,"status":"downloading","progress":1e999}`, true, "downloading"},
	{"progress that is NaN", `{"id":"bad","attempt":3,"status":"downloading","progress":"NaN"}`, true, "downloading"},
	{"status of tomorrow", `{"id":"bad","attempt":3,"status":"verifying"}`, true, "paused"},
	{"status that is a number", `{"id":"bad","attempt":3,"status":4}`, true, "paused"},
	{"no status", `{"id":"bad","attempt":3}`, true, "paused"},
	{"class of tomorrow", `{"id":"bad","attempt":3,"status":"failed","error":{"code":5,"message":"m","class":"network"}}`, true, "failed"},
	{"failed without an error", `{"id":"bad","attempt":3,"status":"failed","error":null}`, true, "failed"},
	{"error that is a list", `{"id":"bad","attempt":3,"status":"failed","error":[[[{}]]]}`, true, "failed"},
	{"result that is a string", `{"id":"bad","attempt":3,"status":"completed","result":"done"}`, true, "completed"},
	{"result with an impossible file", `{"id":"bad","attempt":3,"status":"completed","result":{"files":[{"path":"f","length":-7},7],"total_length":1e30}}`, true, "completed"},
	{"nested junk", `{"id":"bad","attempt":3,"status":{"a":[{"b":null}]},"aria2_gid":[]}`, true, "paused"},
	{"no attempt", `{"id":"bad","status":"downloading"}`, false, ""},
	{"attempt in words", `{"id":"bad","attempt":"three","status":"downloading"}`, false, ""},
	{"attempt above 2^53", `{"id":"bad","attempt":9007199254740993,"status":"downloading"}`, false, ""},
	{"id that is a number", `{"id":7,"attempt":3,"status":"downloading"}`, false, ""},
	{"invalid id", `{"id":"a b","attempt":3,"status":"downloading"}`, false, ""},
	{"null", `null`, false, ""},
	{"number", `7`, false, ""},
	{"list", `[{}]`, false, ""},
}

// Each bad entry of a heartbeat costs that entry only. One that names its attempt
// counts as held; one that does not makes the heartbeat partial.
func TestDecodeHeartbeat_BadEntryCostsItselfOnly(t *testing.T) {
	for _, c := range badHeldTasks {
		t.Run(c.name, func(t *testing.T) {
			body := `{` + beat + `,"tasks":[{"id":"before","attempt":1,"status":"downloading","total_length":9},` + c.entry +
				`,{"id":"after","attempt":2,"status":"completed"}]}`
			h, faults, err := DecodeHeartbeat([]byte(body), "w1")
			if err != nil {
				t.Fatalf("the whole heartbeat is refused: %v", err)
			}
			byID := map[string]model.Report{}
			for _, r := range h.Tasks {
				if err := r.Normalize(); err != nil {
					t.Errorf("the entry %s came through invalid: %v", r.ID, err)
				}
				byID[r.ID] = r
			}
			if byID["before"].TotalLength != 9 || byID["after"].Status != model.ReportCompleted {
				t.Errorf("the innocent entries are %+v and %+v", byID["before"], byID["after"])
			}
			bad, held := byID["bad"]
			if held != c.held || h.Partial == c.held || held && (bad.Attempt != 3 || bad.Status != c.status) {
				t.Errorf("held %v as %+v, partial %v", held, bad, h.Partial)
			}
			if len(faults) != 1 || !strings.HasPrefix(faults[0].Err.Message, "tasks[1].") {
				t.Errorf("faults %+v", faults)
			}
			if c.held && faults[0].Task != "bad" {
				t.Errorf("the fault names the task %q", faults[0].Task)
			}
		})
	}
}

// badHeartbeatFields are fields of the worker itself that are not as they should be.
var badHeartbeatFields = []struct{ field, fault string }{
	{`"state":"napping"`, "state: "},
	{`"state":3`, "state: must be a string"},
	{`"version":"` + strings.Repeat("1", 65) + `"`, "version: "},
	{`"hostname":"a\u0000b"`, "hostname: "},
	{`"address":"` + strings.Repeat("x", 5000) + `"`, "address: "},
	{`"port":"80"`, "port: must be a whole number"},
	{`"port":70000`, "port: "},
	{`"total_slots":-1`, "total_slots: "},
	{`"total_slots":1e6`, "total_slots: "},
	{`"prefetch":-1`, "prefetch: "},
	{`"prefetch":1e6`, "prefetch: "},
	{`"prefetch":"two"`, "prefetch: "},
	{`"health_metrics":"good"`, "health_metrics: must be an object"},
	{`"health_metrics":{"cpu_usage":"NaN","disk_free":7}`, "health_metrics.cpu_usage: "},
	{`"health_metrics":{"disk_free":-5}`, "health_metrics.disk_free: "},
	{`"health_metrics":{"uptime":1e308}`, "health_metrics.uptime: "},
	{`"performance_stats":{"total_bytes_downloaded":99999999999999999999}`, "performance_stats.total_bytes_downloaded: "},
	{`"performance_stats":[]`, "performance_stats: must be an object"},
	{`"capabilities":{"tags":{"a":5}}`, "capabilities.tags.a: must be a string"},
	{`"capabilities":{"tags":{"a":"\u0007"}}`, "capabilities.tags: "},
	{`"capabilities":{"folders":[""]}`, "capabilities.folders: "},
	{`"capabilities":{"protocols":"http"}`, "capabilities.protocols: must be a list"},
	{`"capabilities":{"disk_space":1e30}`, "capabilities.disk_space: "},
	{`"tasks":{"a":1}`, "tasks: must be a list"},
}

// A bad value of a worker's own field costs that field only, never the heartbeat.
func TestDecodeHeartbeat_BadOwnFieldCostsItselfOnly(t *testing.T) {
	for _, c := range badHeartbeatFields {
		t.Run(c.field[:min(len(c.field), 60)], func(t *testing.T) {
			rest := `"tasks":[{"id":"a","attempt":1,"status":"downloading"}],`
			if strings.HasPrefix(c.field, `"tasks"`) {
				rest = ""
			}
			h, faults, err := DecodeHeartbeat([]byte(`{"instance":"i1","epoch":1,"seq":1,"state":"ready","total_slots":2,`+rest+c.field+`}`), "w1")
			if err != nil {
				t.Fatalf("the whole heartbeat is refused: %v", err)
			}
			if err := h.Validate(); err != nil {
				t.Errorf("it came through invalid: %v", err)
			}
			if len(faults) != 1 || !strings.HasPrefix(faults[0].Err.Message, c.fault) {
				t.Errorf("faults %+v, want %s", faults, c.fault)
			}
			if rest != "" && (len(h.Tasks) != 1 || h.Partial) || rest == "" && !h.Partial {
				t.Errorf("%d tasks, partial %v", len(h.Tasks), h.Partial)
			}
		})
	}
}

// The other members of an object with a bad member are kept.
func TestDecodeHeartbeat_GoodMembersBesideBadOnesKept(t *testing.T) {
	h, _, err := DecodeHeartbeat([]byte(`{`+beat+`,"health_metrics":{"cpu_usage":"x","disk_free":7},
		"capabilities":{"tags":{"a":5,"b":"c"},"folders":["films",7],"bandwidth":9},"tasks":[7,{"id":"a","attempt":1,"status":"downloading"}]}`), "w1")
	if err != nil {
		t.Fatal(err)
	}
	c := h.Capabilities
	if h.HealthMetrics.DiskFree != 7 || c.Tags["b"] != "c" || c.Folders[0] != "films" || len(c.Folders) != 1 || c.Bandwidth != 9 || len(h.Tasks) != 1 {
		t.Errorf("got %+v", h)
	}
}

// A heartbeat without the fields that identify the worker and order its heartbeats is
// refused.
func TestDecodeHeartbeat_BadIdentityRefused(t *testing.T) {
	for body, want := range map[string]string{
		`{"instance":7}`:                "instance: must be a string",
		`{"instance":"i1","epoch":"1"}`: "epoch: must be a whole number",
		`{"instance":"i1","epoch":-1}`:  "epoch: ",
		`{"instance":"i1","seq":1.5}`:   "seq: ",
		`{"worker_id":[],` + beat + `}`: "worker_id: must be a string",
		`[` + beat + `]`:                "body: ",
		`{` + beat + `,"tasks":[}`:      "body: is not JSON",
	} {
		if _, _, err := DecodeHeartbeat([]byte(body), "w1"); err == nil || !strings.HasPrefix(err.Message, want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

// A heartbeat that lists too much is cut and partial, not refused.
func TestDecodeHeartbeat_TooManyTasksCut(t *testing.T) {
	var list []string
	for i := range model.MaxBatch + 500 {
		list = append(list, fmt.Sprintf(`{"id":"t%d","attempt":1,"status":"downloading"}`, i))
	}
	h, faults, err := DecodeHeartbeat([]byte(`{`+beat+`,"tasks":[`+strings.Join(list, ",")+`]}`), "w1")
	if err != nil || len(h.Tasks) != model.MaxBatch || !h.Partial || len(faults) != 1 {
		t.Errorf("%v, %+v", err, faults)
	}
}

// A bad report of a list costs that report only, whatever else the message holds.
func TestDecodeReport_BadEntryCostsItselfOnly(t *testing.T) {
	for _, c := range badHeldTasks {
		t.Run(c.name, func(t *testing.T) {
			list, many, err := DecodeReport([]byte(`{"worker_id":7,"id":[],"progress":"x","reports":[{"id":"before","attempt":1,"status":"downloading"},`+
				c.entry+`,{"id":"after","attempt":2,"status":"completed"}]}`), "w1")
			if err != nil || !many || len(list) != 3 {
				t.Fatalf("%v, %+v", err, list)
			}
			if list[0].Err != nil || list[2].Err != nil || list[1].Err == nil {
				t.Errorf("%+v", list)
			}
		})
	}
}
