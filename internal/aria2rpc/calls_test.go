package aria2rpc_test

import (
	"encoding/base64"
	"fmt"
	"math"
	"strings"
)

// step is one call that both servers get.
type step struct {
	method   string
	params   []any
	as       string   // the name of the gid that it answers
	wait     string   // afterwards, the status that the named download reaches
	volatile []string // members whose figures depend on the moment
}

// moving are the members of a status that change while a download runs.
var moving = []string{"completedLength", "downloadSpeed", "connections", "bitfield", "numPieces", "totalLength", "length"}

func list(v ...any) []any { return v }

type fields = map[string]any

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// torrentOf is a torrent of 1,000 bytes; name is the member name as it is bencoded.
func torrentOf(name string) string {
	return base64Of("d8:announce19:udp://127.0.0.1:1/a7:comment2:hi13:creation datei1700000000e" +
		"4:infod6:lengthi1000e" + name + "12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee")
}

// folderTorrent is a torrent of three files, one of them in a folder below that of the torrent.
var folderTorrent = base64Of("d4:infod5:filesld6:lengthi1000e4:pathl5:a.txteed6:lengthi2000e4:pathl3:sub5:b.txteed6:lengthi3000e4:pathl1:xe" +
	"10:path.utf-8l6:\u00e9.txteee4:name4:show12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee")

// many are n URIs that differ in their ends.
func many(base string, n int) []any {
	all := make([]any, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d", base, i)
	}
	return all
}

// life is a story of downloads. Its texts: $BASE is the file server, $NAME a gid.
func life(base string) []step {
	fast, slow := func(n string) any { return base + "/fast/" + n }, func(n string) any { return base + "/slow/" + n }
	status := func(n string) any { return base + "/status/" + n }
	return []step{
		// nothing is there
		{method: "aria2.getGlobalStat", volatile: []string{"downloadSpeed"}},
		{method: "aria2.tellActive"},
		{method: "aria2.tellWaiting", params: list(0, 10)},
		{method: "aria2.tellStopped", params: list(0, 10)},
		{method: "aria2.tellStopped", params: list(-1, 10)},
		{method: "aria2.getVersion"},
		{method: "system.listMethods"},
		{method: "system.listNotifications"},
		{method: "aria2.pauseAll"},
		{method: "aria2.unpauseAll"},
		{method: "aria2.forcePauseAll"},
		{method: "aria2.purgeDownloadResult"},

		// a download that completes
		{method: "aria2.addUri", params: list(list(fast("a"))), as: "$done", wait: "complete"},
		{method: "aria2.tellStatus", params: list("$done")},
		{method: "aria2.tellStatus", params: list("$done", list("gid", "status", "nope"))},
		{method: "aria2.tellStatus", params: list("$done", list("gid", "errorCode", "errorMessage"))},
		{method: "aria2.tellStatus", params: list("$done", list())},
		{method: "aria2.getFiles", params: list("$done")},
		{method: "aria2.getUris", params: list("$done")},
		{method: "aria2.getServers", params: list("$done")},
		{method: "aria2.getPeers", params: list("$done")},
		{method: "aria2.pause", params: list("$done")},
		{method: "aria2.forcePause", params: list("$done")},
		{method: "aria2.unpause", params: list("$done")},
		{method: "aria2.remove", params: list("$done")},
		{method: "aria2.forceRemove", params: list("$done")},
		{method: "aria2.changePosition", params: list("$done", 0, "POS_SET")},
		{method: "aria2.changeOption", params: list("$done", fields{"split": "2"})},
		{method: "aria2.changeUri", params: list("$done", 1, list(), list(fast("b")))},
		{method: "aria2.tellStopped", params: list(0, 10, list("gid", "status"))},
		{method: "aria2.getGlobalStat", volatile: []string{"downloadSpeed"}},

		// one with a name of its own, and one that has a gid chosen
		{method: "aria2.addUri", params: list(list(fast("c")), fields{"out": "named"}), as: "$named", wait: "complete"},
		{method: "aria2.getFiles", params: list("$named")},
		{method: "aria2.addUri", params: list(list(fast("d")), fields{"gid": "00000000000000ab"}), as: "$chosen", wait: "complete"},
		{method: "aria2.tellStatus", params: list("00000000000000ab", list("gid", "status"))},
		{method: "aria2.tellStatus", params: list("00000000000000AB", list("gid", "status"))},
		{method: "aria2.addUri", params: list(list(fast("d")), fields{"gid": "00000000000000ab"})},
		{method: "aria2.addUri", params: list(list(fast("d")), fields{"gid": "ab"})},
		{method: "aria2.addUri", params: list(list(fast("d")), fields{"gid": "zzzzzzzzzzzzzzzz"})},

		// failures
		{method: "aria2.addUri", params: list(list(status("404/x"))), as: "$missing", wait: "error"},
		{method: "aria2.tellStatus", params: list("$missing", list("status", "errorCode", "completedLength", "totalLength"))},
		{method: "aria2.getUris", params: list("$missing")},
		{method: "aria2.addUri", params: list(list("http://127.0.0.1:1/x")), as: "$refused", wait: "error"},
		{method: "aria2.tellStatus", params: list("$refused", list("status", "errorCode"))},
		{method: "aria2.addUri", params: list(list(status("403/x"))), as: "$forbidden", wait: "error"},
		{method: "aria2.tellStatus", params: list("$forbidden", list("status", "errorCode"))},
		{method: "aria2.tellStopped", params: list(-1, 2, list("gid", "status"))},
		{method: "aria2.tellStopped", params: list(0, 2, list("gid", "status"))},
		{method: "aria2.tellStopped", params: list(2, 2, list("gid", "status"))},
		{method: "aria2.tellStopped", params: list(100, 2)},
		{method: "aria2.tellStopped", params: list(-100, 2)},
		{method: "aria2.tellStopped", params: list(-2, 2, list("gid"))},

		// a running one
		{method: "aria2.addUri", params: list(list(slow("r"))), as: "$run", wait: "moving"},
		{method: "aria2.tellStatus", params: list("$run", list("gid", "status", "uploadLength", "uploadSpeed", "pieceLength", "dir"))},
		{method: "aria2.tellStatus", params: list("$run", list("completedLength", "downloadSpeed", "connections")), volatile: moving},
		{method: "aria2.tellActive", params: list(list("gid", "status"))},
		{method: "aria2.getGlobalStat", volatile: []string{"downloadSpeed"}},
		{method: "aria2.getPeers", params: list("$run")},
		{method: "aria2.removeDownloadResult", params: list("$run")},
		{method: "aria2.changePosition", params: list("$run", 0, "POS_SET")},
		{method: "aria2.unpause", params: list("$run")},
		{method: "aria2.pause", params: list("$run"), wait: "paused"},
		{method: "aria2.pause", params: list("$run")},
		{method: "aria2.tellActive"},
		{method: "aria2.tellWaiting", params: list(0, 10, list("gid", "status"))},
		{method: "aria2.getServers", params: list("$run")},
		{method: "aria2.remove", params: list("$run")},
		{method: "aria2.tellStatus", params: list("$run")},
		{method: "aria2.addUri", params: list(list(slow("g"))), as: "$run", wait: "moving"},
		{method: "aria2.remove", params: list("$run"), wait: "removed"},
		{method: "aria2.tellStatus", params: list("$run", list("gid", "status", "errorCode", "errorMessage"))},
		{method: "aria2.remove", params: list("$run")},
		{method: "aria2.removeDownloadResult", params: list("$run")},
		{method: "aria2.removeDownloadResult", params: list("$run")},
		{method: "aria2.tellStatus", params: list("$run")},

		// paused ones, and the queue
		{method: "aria2.addUri", params: list(list(slow("p1")), fields{"pause": "true"}), as: "$p1"},
		{method: "aria2.addUri", params: list(list(slow("p2"), fast("p2")), fields{"pause": "true", "split": "3"}), as: "$p2"},
		{method: "aria2.addUri", params: list(list(slow("p3")), fields{"pause": "true", "max-download-limit": "10K"}), as: "$p3"},
		{method: "aria2.tellStatus", params: list("$p1")},
		{method: "aria2.tellWaiting", params: list(0, 10, list("gid", "status"))},
		{method: "aria2.tellWaiting", params: list(1, 1, list("gid"))},
		{method: "aria2.tellWaiting", params: list(-1, 2, list("gid"))},
		{method: "aria2.tellWaiting", params: list(-3, 2, list("gid"))},
		{method: "aria2.tellWaiting", params: list(50, 2)},
		{method: "aria2.tellWaiting", params: list(0, 0)},
		{method: "aria2.getUris", params: list("$p2")},
		{method: "aria2.getFiles", params: list("$p2")},
		{method: "aria2.getServers", params: list("$p1")},
		{method: "aria2.getPeers", params: list("$p1")},
		{method: "aria2.getGlobalStat", volatile: []string{"downloadSpeed"}},
		{method: "aria2.getOption", params: list("$p1")},
		{method: "aria2.getOption", params: list("$p2")},
		{method: "aria2.getOption", params: list("$p3")},
		{method: "aria2.changeOption", params: list("$p1", fields{"split": "4"})},
		{method: "aria2.changeOption", params: list("$p1", fields{"nope": "4", "split": 7})},
		{method: "aria2.changeOption", params: list("$p1", fields{"split": "many"})},
		{method: "aria2.changeOption", params: list("$p1", list())},
		{method: "aria2.changeOption", params: list("$p1")},
		{method: "aria2.getOption", params: list("$p1")},
		{method: "aria2.changePosition", params: list("$p3", 0, "POS_SET")},
		{method: "aria2.tellWaiting", params: list(0, 10, list("gid"))},
		{method: "aria2.changePosition", params: list("$p3", 100, "POS_SET")},
		{method: "aria2.changePosition", params: list("$p1", 0, "POS_CUR")},
		{method: "aria2.changePosition", params: list("$p1", 0, "POS_NEAR")},
		{method: "aria2.changePosition", params: list("$p1", "0", "POS_SET")},
		{method: "aria2.changePosition", params: list("$p1")},
		{method: "aria2.changeUri", params: list("$p2", 1, list(fast("p2")), list(fast("q"), fast("r")))},
		{method: "aria2.getUris", params: list("$p2")},
		{method: "aria2.changeUri", params: list("$p2", 1, list(fast("nope")), list())},
		{method: "aria2.changeUri", params: list("$p2", 1, list(), list(fast("first")), 0)},
		{method: "aria2.getUris", params: list("$p2")},
		{method: "aria2.changeUri", params: list("$p2", 2, list(), list(fast("q")))},
		{method: "aria2.changeUri", params: list("$p2", 0, list(), list(fast("q")))},
		{method: "aria2.changeUri", params: list("$p2", 1, list())},
		{method: "aria2.changeUri", params: list("$p2", 1, list(), list(fast("q")), -1)},
		{method: "aria2.changeUri", params: list("$p2", 1, list(), list("notaurl", fast("s")), 1)},
		{method: "aria2.changeUri", params: list("$p2", 1, list(), list("notaurl"))},
		{method: "aria2.getUris", params: list("$p2")},
		{method: "aria2.changePosition", params: list("$p2", math.MaxInt64, "POS_CUR")},
		{method: "aria2.changePosition", params: list("$p2", math.MaxInt64, "POS_END")},
		{method: "aria2.changePosition", params: list("$p2", 1<<32, "POS_SET")},
		{method: "aria2.changeOption", params: list("$p2", fields{"pause": "x", "gid": "x", "piece-length": "x", "dry-run": "x"})},
		{method: "aria2.changeOption", params: list("$p2", fields{"max-download-limit": "10KB", "continue": "", "retry-wait": " +7", "min-split-size": "1M "})},
		{method: "aria2.getOption", params: list("$p2")},
		{method: "aria2.addUri", params: list(list("notaurl", "http://127.0.0.1:1/\u00e4 b?q=\u00fc \"<>"), fields{"pause": "true"}), as: "$q1"},
		{method: "aria2.getUris", params: list("$q1")},
		{method: "aria2.tellStatus", params: list("$q1", list("status", "files"))},
		{method: "aria2.remove", params: list("$q1")},
		{method: "aria2.addUri", params: list(many("http://127.0.0.1:1/", 20), fields{"pause": ""}), as: "$q2"},
		{method: "aria2.getUris", params: list("$q2")},
		{method: "aria2.remove", params: list("$q2")},
		{method: "aria2.addTorrent", params: list(torrentOf("4:name4:film"), list(), fields{"pause": "true"}), as: "$t1"},
		{method: "aria2.tellStatus", params: list("$t1")},
		{method: "aria2.getFiles", params: list("$t1")},
		{method: "aria2.remove", params: list("$t1")},
		{method: "aria2.addTorrent", params: list(folderTorrent, list(), fields{"pause": "true", "select-file": "2-3"}), as: "$t3"},
		{method: "aria2.tellStatus", params: list("$t3")},
		{method: "aria2.getFiles", params: list("$t3")},
		{method: "aria2.changeOption", params: list("$t3", fields{"select-file": "1,3"})},
		{method: "aria2.getFiles", params: list("$t3")},
		{method: "aria2.changeOption", params: list("$t3", fields{"select-file": ""})},
		{method: "aria2.getFiles", params: list("$t3")},
		{method: "aria2.getOption", params: list("$t3")},
		{method: "aria2.changeOption", params: list("$t3", fields{"select-file": "9"})},
		{method: "aria2.remove", params: list("$t3")},
		{method: "aria2.addUri", params: list(list("magnet:?xt=urn:btih:248d0a1cd08284299de78d5c1ed359bb46717d8a&dn=film&tr=udp%3A%2F%2F127.0.0.1%3A1"), fields{"pause": "true"}), as: "$t2"},
		{method: "aria2.tellStatus", params: list("$t2")},
		{method: "aria2.remove", params: list("$t2")},
		{method: "aria2.addMetalink", params: list(base64Of("<metalink/>"))},
		{method: "aria2.unpause", params: list("$p1")},
		{method: "aria2.unpause", params: list("$p1"), wait: "active"},
		{method: "aria2.pause", params: list("$p1"), wait: "paused"},
		{method: "aria2.remove", params: list("$p1")},
		{method: "aria2.tellStatus", params: list("$p1")},
		{method: "aria2.forceRemove", params: list("$p2")},
		{method: "aria2.remove", params: list("$p3")},
		{method: "aria2.tellWaiting", params: list(0, 10)},
		{method: "aria2.tellStopped", params: list(-1, 1, list("status"))},
		{method: "aria2.purgeDownloadResult"},
		{method: "aria2.tellStopped", params: list(0, 10)},
		{method: "aria2.tellStatus", params: list("$done")},

		// the cluster
		{method: "aria2.changeGlobalOption", params: list(fields{"split": "2"})},
		{method: "aria2.changeGlobalOption", params: list(fields{"split": "none"})},
		{method: "aria2.changeGlobalOption", params: list(fields{"nope": "1"})},
		{method: "aria2.changeGlobalOption", params: list(fields{"max-concurrent-downloads": "2"})},
		{method: "aria2.changeGlobalOption", params: list(fields{"daemon": "x", "out": "x", "checksum": "x", "pause": "x"})},
		{method: "aria2.changeGlobalOption", params: list(list())},
		{method: "aria2.changeGlobalOption"},
		{method: "aria2.changeGlobalOption", params: list(fields{"split": "5"})},
		{method: "aria2.saveSession"},
	}
}

// wrong are calls with faults; they change nothing.
var wrong = []step{
	{method: "aria2.nope"},
	{method: "aria2.tellstatus"},
	{method: ""},
	{method: "aria2.nope\x00tail"},
	{method: strings.Repeat("m", 5000)},
	{method: "system.nope"},
	{method: "aria2.addUri"},
	{method: "aria2.addUri", params: list("http://example.org/")},
	{method: "aria2.addUri", params: list(list())},
	{method: "aria2.addUri", params: list(list(1, 2))},
	{method: "aria2.addUri", params: list(list("http://127.0.0.1:1/"), nil)},
	{method: "aria2.addUri", params: list(list("http://127.0.0.1:1/"), list())},
	{method: "aria2.addUri", params: list(list("http://127.0.0.1:1/"), fields{"split": "none"})},
	{method: "aria2.addUri", params: list(list("http://127.0.0.1:1/"), fields{"pause": "perhaps"})},
	{method: "aria2.addUri", params: list(list("http://127.0.0.1:1/"), fields{}, "0")},
	{method: "aria2.addUri", params: list(list("http://127.0.0.1:1/"), fields{}, -1)},
	{method: "aria2.addUri", params: list(list("notaurl"))},
	{method: "aria2.addUri", params: list(list("http://", "/etc/passwd", "", "http://127.0.0.1:99999/", "magnet:?dn=x"))},
	{method: "aria2.addUri", params: list(list("http://127.0.0.1:1/"), fields{"gid": "0000000000000000"})},
	{method: "aria2.addUri", params: list(list("http://127.0.0.1:1/"), fields{"gid": ""})},
	{method: "aria2.addTorrent", params: list("ZA==")},
	{method: "aria2.addTorrent", params: list("")},
	{method: "aria2.addTorrent", params: list("no base64")},
	{method: "aria2.addTorrent", params: list(base64Of("de"))},
	{method: "aria2.addTorrent", params: list(base64Of("le"))},
	{method: "aria2.addTorrent", params: list(base64Of("d4:infod4:name1:xee"))},
	{method: "aria2.addMetalink", params: list(base64Of("<metalink"))},
	{method: "aria2.addMetalink", params: list("")},
	{method: "aria2.addTorrent"},
	{method: "aria2.addTorrent", params: list(1)},
	{method: "aria2.addTorrent", params: list("bm90IGEgdG9ycmVudA==")},
	{method: "aria2.addMetalink"},
	{method: "aria2.addMetalink", params: list("bm90IGEgbWV0YWxpbms=")},
	{method: "aria2.tellStatus"},
	{method: "aria2.tellStatus", params: list(1)},
	{method: "aria2.tellStatus", params: list(nil)},
	{method: "aria2.tellStatus", params: list("")},
	{method: "aria2.tellStatus", params: list("zz")},
	{method: "aria2.tellStatus", params: list("0123456789abcdef0")},
	{method: "aria2.tellStatus", params: list("0123456789abcdef")},
	{method: "aria2.tellStatus", params: list("0123456789ABCDEF")},
	{method: "aria2.tellStatus", params: list("0123")},
	{method: "aria2.remove", params: list("0123456789abcdef")},
	{method: "aria2.pause", params: list("0123456789abcdef")},
	{method: "aria2.unpause", params: list("0123456789abcdef")},
	{method: "aria2.getFiles", params: list("0123456789abcdef")},
	{method: "aria2.getOption", params: list("0123456789abcdef")},
	{method: "aria2.getUris", params: list("0123456789abcdef")},
	{method: "aria2.getServers", params: list("0123456789abcdef")},
	{method: "aria2.getPeers", params: list("0123456789abcdef")},
	{method: "aria2.changeOption", params: list("0123456789abcdef", fields{})},
	{method: "aria2.changePosition", params: list("0123456789abcdef", 0, "POS_SET")},
	{method: "aria2.changeUri", params: list("0123456789abcdef", 1, list(), list())},
	{method: "aria2.removeDownloadResult", params: list("0123456789abcdef")},
	{method: "aria2.tellWaiting"},
	{method: "aria2.tellWaiting", params: list(0)},
	{method: "aria2.tellWaiting", params: list("0", 1)},
	{method: "aria2.tellWaiting", params: list(0, -1)},
	{method: "aria2.tellWaiting", params: list(0.9, 1.9)},
	{method: "aria2.tellStopped"},
	{method: "aria2.tellStopped", params: list(0, "1")},
	{method: "aria2.tellStopped", params: list(0, -1)},
	{method: "aria2.tellActive", params: list("gid")},
	{method: "aria2.tellActive", params: list(list(1))},
	{method: "aria2.getVersion", params: list("surplus", 1)},
	{method: "system.multicall"},
	{method: "system.multicall", params: list("x")},
	{method: "system.multicall", params: list("token:"+secret, list())},
	{method: "system.multicall", params: list(list())},
	{method: "system.multicall", params: list(list(1, fields{}, fields{"methodName": 1}, fields{"methodName": "aria2.nope"}))},
	{method: "system.multicall", params: list(list(fields{"methodName": "system.multicall", "params": list(list())}))},
	{method: "system.multicall", params: list(list(fields{"methodName": "system.listNotifications"}))},
	{method: "system.multicall", params: list(list(
		fields{"methodName": "aria2.getVersion", "params": list("token:" + secret)},
		fields{"methodName": "aria2.tellStatus", "params": list("token:"+secret, "zz")}))},
}

// envelopes are whole requests: the text is sent as it is.
var envelopes = []struct{ method, path, text string }{
	{"POST", "/jsonrpc", ``},
	{"POST", "/jsonrpc", `{`},
	{"POST", "/jsonrpc", `nonsense`},
	{"POST", "/jsonrpc", `[]`},
	{"POST", "/jsonrpc", `[1]`},
	{"POST", "/jsonrpc", `[1,{"jsonrpc":"2.0","id":1,"method":"system.listNotifications"},"x"]`},
	{"POST", "/jsonrpc", `[{"jsonrpc":"2.0","id":1,"method":"aria2.nope","params":["token:` + secret + `"]},{"id":2,"method":"aria2.getVersion","params":["token:` + secret + `"]}]`},
	{"POST", "/jsonrpc", `1`},
	{"POST", "/jsonrpc", `"text"`},
	{"POST", "/jsonrpc", `{}`},
	{"POST", "/jsonrpc", `{"id":1}`},
	{"POST", "/jsonrpc", `{"id":1,"method":1}`},
	{"POST", "/jsonrpc", `{"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":"x","method":"system.listNotifications","params":[]}`},
	{"POST", "/jsonrpc", `{"id":null,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":1.5,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":1e3,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":99999999999999999999,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":-9223372036854775808,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":9223372036854775807,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":` + strings.Repeat("[", 48) + strings.Repeat("]", 48) + `,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":` + strings.Repeat("[", 49) + strings.Repeat("]", 49) + `,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", strings.Repeat("[", 50) + strings.Repeat("]", 50)},
	{"POST", "/jsonrpc", `{"id":01,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", "{\"id\":\"a\tb\",\"method\":\"system.listNotifications\"}"},
	{"POST", "/jsonrpc", `{"id":"\x","method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"system.listNotifications",}`},
	{"POST", "/jsonrpc", `{"id":1,"id":2,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":"\ud800","method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":"\u0000\u007f","method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `[null,true,[]]`},
	{"POST", "/jsonrpc", `[{}]`},
	{"POST", "/jsonrpc", `{"id":[1,"a"],"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":{"b":1,"a":2},"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"system.listNotifications","params":{}}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"system.listNotifications","params":null}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"system.listNotifications","params":"x"}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"aria2.getVersion"}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"aria2.getVersion","params":[]}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"aria2.nope","params":[]}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"aria2.getVersion","params":["token:a-wrong-secret"]}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"aria2.getVersion","params":["token:"]}`},
	{"POST", "/jsonrpc", `{"id":1,"method":"aria2.getVersion","params":["token:` + secret + `"]} trailing`},
	{"POST", "/jsonrpc?x=1", `{"id":1,"method":"system.listNotifications"}`},
	{"POST", "/JSONRPC", `{"id":1,"method":"system.listNotifications"}`},
	{"POST", "/jsonrpc/", `{"id":1,"method":"system.listNotifications"}`},
	{"GET", "/rpc", ``},
	{"PUT", "/jsonrpc", ``},
	{"OPTIONS", "/jsonrpc", ``},
	{"POST", "/rpc", `nonsense`},
	{"POST", "/rpc", `<methodCall><methodName>system.listNotifications</methodName></methodCall>`},
	{"POST", "/rpc", `<?xml version="1.0"?><methodCall><methodName>system.listNotifications</methodName></methodCall>`},
	{"POST", "/rpc", `<?xml version="1.0"?><methodCall><methodName>aria2.getVersion</methodName><params><param><value><string>token:` + secret + `</string></value></param></params></methodCall>`},
	{"POST", "/rpc", `<?xml version="1.0"?><methodCall><methodName>aria2.getVersion</methodName><params></params></methodCall>`},
	{"POST", "/rpc", `<?xml version="1.0"?><methodCall><methodName>aria2.tellStopped</methodName><params><param><value>token:` + secret + `</value></param><param><value><int>0</int></value></param><param><value><i4>5</i4></value></param></params></methodCall>`},
	{"POST", "/rpc", `<?xml version="1.0"?><methodCall><methodName>aria2.tellStopped</methodName><params><param><value>token:` + secret + `</value></param><param><value><string>0</string></value></param><param><value><i4>5</i4></value></param></params></methodCall>`},
	{"POST", "/rpc", `<?xml version="1.0"?><methodCall><methodName>system.multicall</methodName><params><param><value><array><data><value><struct><member><name>methodName</name><value><string>aria2.nope</string></value></member></struct></value></data></array></value></param></params></methodCall>`},
}
