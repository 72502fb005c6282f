// Package placement is the index of the engine: it keeps pending tasks and workers in order,
// and finds the next task to assign and the best worker for it. It is deterministic: no
// clock, no randomness, no I/O. It knows nothing of the store, of reports and of answers.
//
// The caller embeds a [Task] in each task that has not ended and a [Worker] in each worker,
// and tells an [Index] what changed:
//
//   - [Index.Add], [Index.Change], [Index.Constrain] and [Index.Remove] for what a task
//     requires of a worker, and for which host and priority it is;
//   - [Index.Enqueue], [Index.Defer] and [Index.Withdraw] for whether it may be placed now,
//     later or not at all;
//   - [Index.AddWorker], [Index.SetOffer], [Index.SetLoad] and [Index.RemoveWorker] for a
//     worker, and [Index.UpdateHeaps] after each event;
//   - [Index.Assigned], [Index.EnterHost], [Index.LeaveHost] for what is running, and
//     [Index.CoolDown], [Index.EndTrial], [Index.EndCooldowns] for a host that asked to wait.
//
// [Index.Place] then assigns. Call all of it from one goroutine at a time.
package placement
