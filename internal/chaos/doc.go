// Package chaos tests a whole cluster of built programs while its processes are killed,
// stopped, restarted and reloaded, and while some of its tasks meet hostile servers.
// docs/reliability.md states the guarantees. The package has only tests; the long one
// has the build tag soak.
package chaos
