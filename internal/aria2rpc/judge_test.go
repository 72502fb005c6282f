package aria2rpc_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/aria2.md")

// known is a difference that is meant.
type known struct {
	where *regexp.Regexp // of the calls, as [found] writes them
	what  string         // for docs/aria2.md: what differs
	why   string
}

var knownDifferences = []known{
	{regexp.MustCompile(`^aria2\.(tellStatus|getFiles).*\.(uris|files\[0\]\.uris)`),
		"The list of URIs of a download that has ended", "aria2 may list a used URI a second time as waiting; here each stands once."},
	{regexp.MustCompile(`^aria2\.tellStatus \["\$refused".*errorCode`),
		"`errorCode` of a refused connection is 6, in aria2 1", "The codes are aria2's exit codes; 6 is \"network problem\", where aria2 says \"unknown\"."},
	{regexp.MustCompile(`^aria2\.changeGlobalOption \[\{"max-concurrent`),
		"Global options of the cluster are refused", "One client must not change what others use. Options of downloads are kept for the client's later ones."},
	{regexp.MustCompile(`^aria2\.saveSession`),
		"`saveSession` is always OK", "A task is stored before its gid is answered; aria2 needs a file name."},
	{regexp.MustCompile(`"id":1e3`),
		"The id `1e3` comes back as 1000, in aria2 as 1", "An id is the caller's."},
	{regexp.MustCompile(`^POST /jsonrpc \{"id":(01|"a\tb"|"\\x"|"\\ud800"|1,"id":2|1,"method":"system.listNotifications",\})`),
		"Text that is not JSON (`01`, a raw control character, `\\x`, a comma before `}`) is a parse error; half of a surrogate pair is U+FFFD; of two members with one name the last counts",
		"The answers are those of a standard decoder. aria2 takes the former, and refuses the latter two."},
	{regexp.MustCompile(`^aria2\.changePosition \["\$p2",\d{10}`),
		"A position beyond 32 bits is the end of the queue", "aria2 cuts it to 32 bits."},
	{regexp.MustCompile(`^aria2\.getUris \["\$q2"`),
		"Of more than 16 URIs the first 16 are shown and used", "A task has at most 16."},
	{regexp.MustCompile(`of option (header|bt-tracker) `),
		"A `header` without a name and value and a `bt-tracker` that is no URL are errors", "aria2 takes them, and they break or have no effect."},
	{regexp.MustCompile(`^POST /(JSONRPC|jsonrpc/) `),
		"Other paths are 404 with an error body", "They belong to the HTTP server of the dispatcher."},
	{regexp.MustCompile(`^aria2\.(tellStatus|getFiles) \["\$done".*(path|dir)`),
		"A file without the option `out` lies in a folder with the id of its task", "Two downloads with one name do not meet. `dir` is that folder once the download has ended."},
}

// otherDifferences are those that no comparison of answers shows.
var otherDifferences = []known{
	{what: "A pause is done when it is answered", why: "In aria2 an active download is paused once its connections are closed, and `unpause` fails until then."},
	{what: "A request of more than 2 MiB is answered with 413, a request in chunks is read", why: "aria2 closes the connection, and reads chunks as an empty text."},
	{what: "`GET /jsonrpc` with parameters is 405", why: "JSONP would let any page call."},
	{what: "A ping of a WebSocket is answered by a pong only", why: "aria2 sends an error besides."},
	{what: "At most 1,000 calls and 100,000 values in one request, and 64 MiB in its answer; 4,096 bytes in an option and 32 KiB in those of one download, 16 MiB in those of a client's downloads", why: "Each bounds what a client can make the dispatcher do or keep."},
	{what: "Options of proxies, interfaces, certificates, cookies and commands are errors", why: "They would act on the node of a worker."},
	{what: "What exceeds `limits.client_rate` or `limits.client_pending` is an error with code 1 that names the limit; the other calls of the same batch or multicall are made", why: "aria2 has no such limits. Programs show the sentence, and the call can be repeated."},
	{what: "The answer to an empty secret is held back as that to a wrong one, that to a call without a token is not", why: "Nothing was guessed."},
	{what: "The digest adler32 is an error", why: "No task can have it."},
}

// judge compares the differences with those that are meant, and writes the list.
func judge(t *testing.T, all []found) {
	t.Helper()
	seen := make(map[int]bool)
	for _, f := range all {
		i := slices.IndexFunc(knownDifferences, func(k known) bool { return k.where.MatchString(f.where) })
		if i < 0 {
			t.Errorf("%s\n\taria2: %.400s\n\tours:  %.400s", f.where, f.aria2, f.ours)
			continue
		}
		seen[i] = true
	}
	for i, k := range knownDifferences {
		if !seen[i] {
			t.Errorf("the difference %q is not there any more: remove it", k.what)
		}
	}
}

// how says what a method does here.
type how struct{ method, kind, text string }

var methodTable = []how{
	{"addUri", "exact", "A URI with a scheme that no worker fetches is refused at once if no other is usable, and left out beside one; aria2 fails later. At most 16 URIs are used. A position becomes a priority."},
	{"addTorrent", "mapped", "The web seeds of the call are not used; those of the torrent are."},
	{"addMetalink", "mapped", "One gid for the whole metalink: one task fetches all its files. What aria2 refuses of its contents, the worker refuses."},
	{"remove, forceRemove", "exact", "Both cancel the task, and its worker removes the partial file. The task of a download that waits or is paused is deleted as well: aria2 keeps nothing of it."},
	{"pause, forcePause, unpause", "exact", ""},
	{"pauseAll, forcePauseAll, unpauseAll", "exact", "Of the client's own downloads."},
	{"changePosition", "mapped", "The queue is ordered by priority and arrival, so a place becomes the priority (1 to 4) that comes nearest to it. The answer is the place that the download has then."},
	{"tellStatus", "exact", "`connections` is 1 while it runs. `bitfield` shows the bytes from the beginning. `bittorrent` has what the torrent or magnet link says; the files of a torrent are listed, until the end with the bytes that are there from the first selected file on; one entry stands for more than 16 KiB of names, and for the files of a metalink until the end. `numSeeders` is 0. There is no `followedBy`: the children of a magnet link or metalink are files of one task."},
	{"tellActive, tellWaiting, tellStopped", "exact", "At most 10,000 downloads in one answer. The newest 1,000 ended ones are visible."},
	{"getUris, getFiles", "exact", "A user and password in a URI are shown as xxxxx, and changeUri takes the shown form. Web seeds of a torrent are not listed."},
	{"getServers", "mapped", "The first URI with the whole speed: workers do not report which mirrors they use."},
	{"getPeers", "mapped", "Always empty: peers are known to the worker only."},
	{"getOption", "exact", "Secret options (http-user, http-passwd, ftp-user, ftp-passwd, header) are not shown."},
	{"changeOption", "mapped", "A change of what the task carries continues a running download under a new attempt, also that of a limit, which aria2 applies at once; the bytes stay if the server gives a strong ETag. Options that a task cannot carry are remembered and shown, and forgotten when the dispatcher restarts."},
	{"changeUri", "exact", "The last URI cannot be removed without a new one."},
	{"getGlobalOption", "mapped", "The defaults of aria2 1.36.0 with what the client has changed; `dir` is that of the first worker."},
	{"changeGlobalOption", "mapped", "Options of downloads, for the client's later ones; kept in memory. Others are refused."},
	{"getGlobalStat", "exact", "Of the client's own downloads."},
	{"purgeDownloadResult, removeDownloadResult", "exact", "They delete the tasks; the files stay."},
	{"getVersion, getSessionInfo, listMethods, listNotifications, multicall", "exact", "The version is that whose answers these are. At most 1,000 calls in one request."},
	{"saveSession", "mapped", "Always OK."},
	{"shutdown, forceShutdown", "refused", "The dispatcher serves others too."},
}

// docs/aria2.md has the table of methods and the list of differences.
func TestDocument_ListsMethodsAndDifferences(t *testing.T) {
	const path = "../../docs/aria2.md"
	var b strings.Builder
	b.WriteString("| method | here | |\n|---|---|---|\n")
	listed := ""
	for _, m := range methodTable {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.method, m.kind, m.text)
		listed += m.method + ", "
	}
	b.WriteString("\nWhat the comparison with aria2 1.36.0 finds, over " + fmt.Sprint(len(wrong)+len(life(""))+len(envelopes)) + " calls, and of " + fmt.Sprint(3*len(optionValues)) + " with each option of a download:\n\n| difference | reason |\n|---|---|\n")
	for _, k := range slices.Concat(knownDifferences, otherDifferences) {
		fmt.Fprintf(&b, "| %s | %s |\n", k.what, k.why)
	}
	for _, name := range listedMethods {
		if !strings.Contains(listed, name+", ") {
			t.Errorf("the table has no row for %s", name)
		}
	}
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- generated: go test ./internal/aria2rpc -run Document -update -->\n", "<!-- end -->\n"
	head, rest, ok := strings.Cut(string(document), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no generated part", path)
	}
	want := head + begin + b.String() + end + tail
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(document) != want {
		t.Errorf("%s is not up to date: go test ./internal/aria2rpc -run Document -update", path)
	}
}

// listedMethods are the names without their prefix.
var listedMethods = strings.Fields(`addUri addTorrent getPeers addMetalink remove pause forcePause pauseAll forcePauseAll
	unpause unpauseAll forceRemove changePosition tellStatus getUris getFiles getServers tellActive tellWaiting tellStopped
	getOption changeUri changeOption getGlobalOption changeGlobalOption purgeDownloadResult removeDownloadResult getVersion
	getSessionInfo shutdown forceShutdown getGlobalStat saveSession multicall listMethods listNotifications`)
