// Package httpd is the HTTP face of a dispatcher: health, metrics, the dashboard, and
// the API.
//
// [New] opens the addresses; [Server.Run] serves them until its context ends. Which
// requests exist and how they are answered is decided by other packages: this one
// transports them, and decides who may send which.
package httpd
