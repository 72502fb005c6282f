// Package natsapi is the request service on NATS: endpoints, discovery, limits for each
// client, and the [Publisher] of commands and events.
//
// It neither places nor stores: requests are decoded and passed to a [Backend], and what
// the backend answers is encoded. Nothing waits for the backend.
//
// A dispatcher calls [CheckSingleton] and [NewPublisher], and when its backend is ready
// [Start]; [Service.WatchSingleton] runs beside them. [Service.Stop] ends the service
// while the backend still answers; then come the backend and [Publisher.Close].
package natsapi
