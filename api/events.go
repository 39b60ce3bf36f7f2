package api

// VerbEvents follows what happens.
const VerbEvents = "events" // Events; replies out until the time is over

// Events asks for what has happened, and for what will. Without Since and Until it
// is all that comes, without an end.
type Events struct {
	Since   string   `json:"since,omitempty"` // a time, or how long ago
	Until   string   `json:"until,omitempty"`
	Filters []string `json:"filters,omitempty"` // key=value
	Format  string   `json:"format,omitempty"`  // "json" or a Go template
}

// Conditions of Wait.
const (
	WaitNotRunning = "not-running" // also ""
	WaitNextExit   = "next-exit"   // the next one, of a sandbox that does not run too
	WaitRemoved    = "removed"
	WaitOver       = "over" // it has ended and will not be restarted
)

// Wait waits for sandboxes and prints their exit statuses.
type Wait struct {
	Names     []string `json:"names"`
	Condition string   `json:"condition,omitempty"`
}
