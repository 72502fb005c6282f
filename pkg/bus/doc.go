// Package bus is the NATS face: subjects, wire codecs, the micro service that
// takes requests in, the publisher that sends assignments and events out, the
// link that workers use, and the embedded server. Clients use package client.
//
// It knows nothing of placing or storing: requests go to a [Backend], and what
// comes back is encoded. Decoders never panic and never keep more than they were
// sent.
//
// A dispatcher starts with [StartServer] (unless NATS runs elsewhere), [OpenConnection],
// [CheckAlone], [NewPublisher], and last, when its backend is ready, [StartService]
// and [StartIntake]; [Service.WatchAlone] runs beside them. It ends with
// [Intake.Stop] and [Service.Stop] while the backend still answers, then the backend,
// [Publisher.Close], [Connection.Drain] and [Server.Shutdown].
package bus
