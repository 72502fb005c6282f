// Package engine decides which worker gets which task, what a report changes and which
// worker is lost. It is pure: no clock, no randomness, no I/O, no goroutine, no log.
//
// The duties of the caller:
//
//  1. Build an [Engine] with [New] and the counts of the store, then give it what else
//     the store holds: what an import holds back by [Engine.LoadHold], each worker by
//     [Engine.LoadWorker], each live task by [Engine.LoadTask] in the order of Seq.
//  2. For a batch of events, ask [Engine.Needs] of each which tasks have to be read
//     from the store before it can be decided, and read them.
//  3. Call [Engine.Begin] with the clock and those tasks, [Engine.Step] with each
//     event in order. Then read the tasks that [Engine.Unread] names, if any, and give
//     them to [Engine.AddRows]. Then call [Engine.Plan].
//  4. Commit Plan.Batch. Only then send Plan's answers, commands and events.
//  5. If the commit fails, throw the engine away and build a new one from the
//     store: it has applied the batch, and whether the store has is unknown.
//  6. Call it from one goroutine at a time. The steady clock must not go back
//     between calls; the wall clock may.
package engine
