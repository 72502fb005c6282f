// Package api answers requests, whatever transported them: it has the one table of
// endpoints, decodes and validates, applies the limits of each client, and encodes
// answers.
//
// It neither places nor stores: a decoded request is passed to a [Backend], and what the
// backend answers is encoded. internal/natsapi and internal/httpd are transports: they
// find out which [Endpoint] a request means and who sends it, call [Service.Serve], and
// deliver the answer through a [Transport]. So a request has the same answer on each.
package api
