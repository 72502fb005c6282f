package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// task docs: go test ./internal/config -run Documented -update
var update = flag.Bool("update", false, "regenerate docs/configuration.md")

// Each key is documented in docs/configuration.md.
func TestKeys_DocumentedInConfigurationDoc(t *testing.T) {
	const path = "../../docs/configuration.md"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(old)
	for _, c := range []struct {
		mark, prefix string
		config       any
	}{
		{"dispatcher", dispatcherPrefix, DefaultDispatcher()},
		{"worker", workerPrefix, DefaultWorker()},
	} {
		begin, end := "<!-- begin "+c.mark+" -->\n", "<!-- end "+c.mark+" -->"
		before, rest, found := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("%s has no %s…%s", path, begin, end)
		}
		text = before + begin + table(keysOf(c.config, c.prefix)) + end + after
	}
	if text == string(old) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the struct tags say; run: go test ./internal/config -run Documented -update", path)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// table is the keys as a Markdown table.
func table(keys []*key) string {
	var b strings.Builder
	b.WriteString("\n| key | default | meaning | environment | flag |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		name := "—"
		if k.flag != "" {
			name = "`-" + k.flag + "`"
		}
		help := strings.ReplaceAll(k.help(), "|", "\\|")
		if k.max != "" {
			help += fmt.Sprintf(" At most %s.", k.max)
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | `%s` | %s |\n", k.path, k.defaultText(), help, strings.Join(k.env, "` `"), name)
	}
	return b.String() + "\n"
}
