package transfer

// state is the state of a session.
type state uint8

const (
	stateOpening state = iota // its snapshot or writer is being made
	stateIdle                 // no request is in progress
	stateBusy                 // requests are in progress
	stateEnded                // it is not in the registry
	states
)

// event is what happens to a session.
type event uint8

const (
	eventOpened   event = iota // its snapshot or writer is ready
	eventFailed                // its snapshot or writer could not be made
	eventRequest               // a request for it arrives
	eventDone                  // a request is done, and others are in progress
	eventLastDone              // the last request in progress is done
	eventComplete              // a request ends it: everything was transferred
	eventAbort                 // a request ends it: not everything was transferred
	eventExpire                // it was idle for idleTimeout
	eventReplace               // another session needs its place
	eventStop                  // the dispatcher stops
	events
)

// action is what the caller of an event must do.
type action uint8

const (
	actionNone     action = iota
	actionRelease         // release the snapshot or writer
	actionUnknown         // answer that there is no such session
	actionOccupied        // keep the session, and refuse the new one
)

// transition is the result of an event in a state.
type transition struct {
	to state
	do action
}

// transitions is the state machine of a session. A session that ends while it is opened
// is released by the request that opens it. An event that cannot happen in a state, or
// comes too late, changes nothing.
var transitions = [states][events]transition{
	stateOpening: {
		eventOpened:   {stateIdle, actionNone},
		eventFailed:   {stateEnded, actionNone},
		eventRequest:  {stateOpening, actionUnknown}, // no client has its id yet
		eventDone:     {stateOpening, actionNone},
		eventLastDone: {stateOpening, actionNone},
		eventComplete: {stateOpening, actionNone},
		eventAbort:    {stateOpening, actionNone},
		eventExpire:   {stateOpening, actionNone},
		eventReplace:  {stateOpening, actionOccupied},
		eventStop:     {stateEnded, actionNone},
	},
	stateIdle: {
		eventOpened:   {stateIdle, actionNone},
		eventFailed:   {stateIdle, actionNone},
		eventRequest:  {stateBusy, actionNone},
		eventDone:     {stateIdle, actionNone},
		eventLastDone: {stateIdle, actionNone},
		eventComplete: {stateEnded, actionRelease},
		eventAbort:    {stateEnded, actionRelease},
		eventExpire:   {stateEnded, actionRelease},
		eventReplace:  {stateEnded, actionRelease},
		eventStop:     {stateEnded, actionRelease},
	},
	stateBusy: {
		eventOpened:   {stateBusy, actionNone},
		eventFailed:   {stateBusy, actionNone},
		eventRequest:  {stateBusy, actionNone},
		eventDone:     {stateBusy, actionNone},
		eventLastDone: {stateIdle, actionNone},
		eventComplete: {stateEnded, actionRelease},
		eventAbort:    {stateEnded, actionRelease},
		eventExpire:   {stateBusy, actionNone},
		eventReplace:  {stateBusy, actionOccupied},
		eventStop:     {stateEnded, actionRelease},
	},
	stateEnded: {
		eventOpened:   {stateEnded, actionRelease},
		eventFailed:   {stateEnded, actionNone},
		eventRequest:  {stateEnded, actionUnknown},
		eventDone:     {stateEnded, actionNone},
		eventLastDone: {stateEnded, actionNone},
		eventComplete: {stateEnded, actionNone},
		eventAbort:    {stateEnded, actionNone},
		eventExpire:   {stateEnded, actionNone},
		eventReplace:  {stateEnded, actionNone},
		eventStop:     {stateEnded, actionNone},
	},
}
