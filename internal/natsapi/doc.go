// Package natsapi is the transport of requests over NATS: subscriptions, discovery, the
// check of reply subjects, and the [Publisher] of commands and events. internal/api has
// the endpoints.
//
// A dispatcher calls [CheckSingleton] and [NewPublisher], and when its backend is ready
// [New]; [Service.Run] and [Service.WatchSingleton] run beside them. At the end the
// service ends first, while the backend still answers; then the backend, then the publisher.
package natsapi
