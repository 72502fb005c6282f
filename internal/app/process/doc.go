// Package process has what every program does with its process: signals, log, version,
// service manager, and the connection to NATS that its configuration describes.
package process
