// Package natsapi is the transport of requests over NATS: subscriptions, discovery, the
// check of reply subjects, and the [Publisher] of commands and events. internal/api has
// the endpoints.
//
// A dispatcher calls [CheckSingleton] and [NewPublisher], and when its backend is ready
// [Start]; [Service.WatchSingleton] runs beside them. [Service.Stop] ends the service
// while the backend still answers; then come the backend and [Publisher.Close].
package natsapi
