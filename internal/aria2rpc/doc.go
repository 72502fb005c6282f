// Package aria2rpc is an RPC endpoint that answers as aria2 1.36 does, for the whole
// cluster: JSON-RPC over HTTP and WebSocket at /jsonrpc, XML-RPC at /rpc. A secret names
// the client whose tasks are seen. docs/aria2.md lists every method and each difference.
//
// The walk of a call: [Server.ServeHTTP] (server.go) checks path, size and origin;
// json.go or xml.go decodes; dispatch.go checks the token and looks the method up in the
// table of methods.go; methods act through the [Backend] and read from the [view] of
// their client (view.go), which the events of the dispatcher keep current.
//
// It does not guarantee that a notification arrives: as events are, they are hints.
// Options that only tune aria2 and that a task cannot carry are remembered in memory and
// are gone after a restart of the dispatcher.
package aria2rpc
