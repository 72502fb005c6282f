package aria2rpc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// optionValues are those that every option gets: of each kind some that are right, some
// beside the limits, and some that only look right.
var optionValues = []string{
	"", "x", "-1", "0", "1", "2", "16", "17", "600", "601", "1024", "1048576", "1048577", "1.5", "1K", "1M", "1 ", " +1", "1Mx",
	"1048577K", "2147483648", "9223372036854775808", "true", "false", "TRUE", "mem", "-0.5", "none", "inorder", "1-2", "2-1", "1,2",
	"1-", "head", "head=1K,tail", "head=x", "sha-1=" + strings.Repeat("a", 40), "sha-1=" + strings.Repeat("a", 39), "SHA-256=" + strings.Repeat("A", 64),
}

// compareOptions sends every option that one download has with every value, by each
// method that takes options, one batch an option. An add has no URI, so nothing is added.
func compareOptions(t *testing.T, servers ...*endpoint) []found {
	t.Helper()
	var gids []any
	for _, e := range servers {
		gids = append(gids, e.result(t, "aria2.addUri", list("http://127.0.0.1:1/options"), fields{"pause": "true"}))
	}
	var all []found
	for _, name := range downloadOptions(t) {
		var results [2][]string
		for i, e := range servers {
			results[i] = e.judgeOption(t, gids[i], name)
		}
		for i := range results[0] {
			if results[0][i] != results[1][i] {
				call := optionCall(i)
				all = append(all, found{fmt.Sprintf("%s of option %s %q", call, name, optionValues[i/3]), results[0][i], results[1][i]})
			}
		}
	}
	return all
}

func optionCall(i int) string {
	return []string{"aria2.addUri", "aria2.changeOption", "aria2.changeGlobalOption"}[i%3]
}

// judgeOption calls the three methods with each value of one option, and lists "OK" or the
// message of each answer.
func (e *endpoint) judgeOption(t *testing.T, gid any, name string) []string {
	t.Helper()
	var batch []any
	for i := range 3 * len(optionValues) {
		option := fields{name: optionValues[i/3]}
		params := list("token:"+secret, option)
		switch i % 3 {
		case 0:
			params = list("token:"+secret, list("no URI"), option)
		case 1:
			params = list("token:"+secret, gid, option)
		}
		batch = append(batch, fields{"id": i, "method": optionCall(i), "params": params})
	}
	body, err := json.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	a := e.post(t, http.MethodPost, "/jsonrpc", string(body))
	answers, _ := a.Body.([]any)
	if len(answers) != len(batch) {
		t.Fatalf("%s: %d answers to %d calls with %s", e.name, len(answers), len(batch), name)
	}
	results := make([]string, len(answers))
	for i := range answers {
		fields, _ := answers[i].(map[string]any)
		results[i] = text(fields["result"])
		if fields["error"] != nil {
			results[i] = text(fields["error"])
		}
	}
	return results
}

// downloadOptions are the options of options.tsv that a download has.
func downloadOptions(t *testing.T) (names []string) {
	t.Helper()
	table, err := os.ReadFile("options.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if name, rest, _ := strings.Cut(line, "\t"); strings.HasPrefix(rest, "add") {
			names = append(names, name)
		}
	}
	if len(names) < 90 {
		t.Fatalf("only %d options", len(names))
	}
	return append(names, "pause", "gid")
}
