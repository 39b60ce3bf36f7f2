package api

// Protocol is raised when an old command line and a new supervisor, or the other
// way round, or a supervisor and the monitors of an earlier one would misunderstand
// each other.
const Protocol = 3

// Version is set by the linker.
var Version = "0.1.0-dev"

// The conversation, one packet per line. The first reply of a supervisor is
// hello, sent before it reads anything.
//
//	command line        supervisor          monitor
//	            <-      hello
//	verb +files ->                                        most verbs
//	            <-      out, err ...                      text to print, in order
//	            <-      done | fault
//
//	run +files  ->      start +conn +files  ->            run, start, attach, exec
//	            <-----------------------    started (+pty master of exec -t)
//	armed           ----------------------->              it handles signals from now on
//	signal, resize, hangup ----------------->
//	            <-----------------------    exited | fault
//
// For run, start, attach and exec the supervisor passes the command line's
// connection on to the monitor and forgets it, so that its own end (crash,
// upgrade) disturbs nobody. A command line in the foreground that goes away before
// it is armed was ended by a signal meant for the program: the monitor ends the
// program. One that goes away later has left it alone.
const (
	KindHello   = "hello"   // Hello
	KindOut     = "out"     // Text, for standard output
	KindErr     = "err"     // Text, for standard error
	KindDone    = "done"    // Done
	KindFault   = "fault"   // Error
	KindStarted = "started" // Started
	KindExited  = "exited"  // Done
	KindSignal  = "signal"  // Signal
	KindResize  = "resize"  // Size
	KindArmed   = "armed"   // no body
	KindHangup  = "hangup"  // Hangup
)

// Verbs of the command line.
const (
	VerbRun     = "run"     // Run
	VerbCreate  = "create"  // Create
	VerbStart   = "start"   // Start
	VerbStop    = "stop"    // Stop
	VerbRestart = "restart" // Stop
	VerbKill    = "kill"    // Kill
	VerbRemove  = "rm"      // Remove
	VerbList    = "ps"      // List
	VerbInspect = "inspect" // Inspect
	VerbLogs    = "logs"    // Name; replies Log
	VerbAttach  = "attach"  // Attach
	VerbExec    = "exec"    // Exec
	VerbWait    = "wait"    // Wait
	VerbRename  = "rename"  // Rename
	VerbTop     = "top"     // Top
	VerbPause   = "pause"   // Names
	VerbUnpause = "unpause" // Names
	VerbUpdate  = "update"  // Update
	VerbInfo    = "info"    // Format
	VerbVersion = "version" // Format
	VerbImport  = "import"  // Import
	VerbNames   = "names"   // Names; replies done with names to complete, one per line
)

// Hello is the supervisor's greeting.
type Hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"`
	Data     string `json:"data"` // where it keeps images and sandboxes
}

// Text is output for the user, already made safe for a terminal.
type Text struct {
	Text string `json:"text"`
}

// Done ends a conversation with an exit status for the command line.
type Done struct {
	Code int    `json:"code"`
	Text string `json:"text,omitempty"` // for standard output
}

// Stdio says which standard files travel with a request, in this order: input,
// output, error. None of them is ever a terminal: the command line relays those.
type Stdio struct {
	In  bool `json:"in,omitempty"`
	Out bool `json:"out,omitempty"`
	Err bool `json:"err,omitempty"`
	// Direct hands the files to the program itself. Otherwise the monitor
	// copies, and keeps the log.
	Direct bool `json:"direct,omitempty"`
	Size   Size `json:"size,omitzero"` // of the caller's terminal, with a pty
}

// Size of a terminal in characters.
type Size struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// Signal to forward to the program.
type Signal struct {
	Num int `json:"num"`
}

// Hangup says that nobody reads a stream of the program any more, "stdout" or
// "stderr": the program is to see that, as it would without a sandbox.
type Hangup struct {
	Stream string `json:"stream"`
}

// Started says that the program runs.
type Started struct {
	ID string `json:"id"`
}

// Run creates and starts a sandbox. Files: Stdio.
type Run struct {
	Spec   Spec  `json:"spec"`
	Stdio  Stdio `json:"stdio"`
	Detach bool  `json:"detach,omitempty"`
	Fetch  Fetch `json:"fetch,omitzero"`
}

// Create creates a sandbox and does not start it.
type Create struct {
	Spec  Spec  `json:"spec"`
	Fetch Fetch `json:"fetch,omitzero"`
}

// Fetch says how an image is pulled that is not there. It is not kept.
type Fetch struct {
	Platform string `json:"platform,omitempty"`
	Quiet    bool   `json:"quiet,omitempty"`
	Reach    Reach  `json:"reach,omitzero"`
}

// Start starts stopped sandboxes; with Attach just one. Files: Stdio.
type Start struct {
	Names  []string `json:"names"`
	Attach bool     `json:"attach,omitempty"`
	Stdio  Stdio    `json:"stdio"`
}

// Attach joins the output, and the input, of a running sandbox. Files: Stdio.
type Attach struct {
	Name  string `json:"name"`
	Stdio Stdio  `json:"stdio"`
}

// Exec starts another program in a running sandbox. Files: Stdio.
type Exec struct {
	Name  string   `json:"name"`
	Spec  ExecSpec `json:"spec"`
	Stdio Stdio    `json:"stdio"`
}

// Stop is stop and restart.
type Stop struct {
	Names   []string `json:"names"`
	Signal  string   `json:"signal,omitempty"`
	Timeout *int     `json:"timeout,omitempty"` // seconds; nil: the sandbox's own; -1: wait for ever
}

// Kill sends a signal.
type Kill struct {
	Names  []string `json:"names"`
	Signal string   `json:"signal,omitempty"` // empty: KILL
}

// Remove removes sandboxes.
type Remove struct {
	Names   []string `json:"names"`
	Force   bool     `json:"force,omitempty"`
	Volumes bool     `json:"volumes,omitempty"` // its anonymous volumes, too
}

// List is ps.
type List struct {
	All     bool     `json:"all,omitempty"`
	Last    int      `json:"last,omitempty"` // show the n last created, whatever their state
	NoTrunc bool     `json:"no_trunc,omitempty"`
	Quiet   bool     `json:"quiet,omitempty"`
	Size    bool     `json:"size,omitempty"`
	Filters []string `json:"filters,omitempty"` // key=value
	Format  string   `json:"format,omitempty"`  // "", "table", "table TEMPLATE", "json" or a Go template
}

// Inspect shows everything about sandboxes, as Docker's JSON or by a template.
type Inspect struct {
	Names  []string `json:"names"`
	Format string   `json:"format,omitempty"`
	Size   bool     `json:"size,omitempty"`
	Type   string   `json:"type,omitempty"` // "container"; empty: images too, where no sandbox has the name
}

// Name is a sandbox's name, id, or a prefix of its id that fits no other.
type Name struct {
	Name string `json:"name"`
}

// Names are several of them.
type Names struct {
	Names []string `json:"names"`
}

// Rename gives a sandbox a new name.
type Rename struct {
	Name string `json:"name"`
	New  string `json:"new"`
}

// Update changes what sandboxes may use, and what becomes of them at their end.
// What is not set stays as it is.
type Update struct {
	Names   []string `json:"names"`
	Limits  Limits   `json:"limits,omitzero"`
	Restart *Restart `json:"restart,omitempty"`
}

// Top lists the processes of a sandbox.
type Top struct {
	Name string   `json:"name"`
	Args []string `json:"args,omitempty"` // ps options, "-o pid,comm"
}

// Format asks for a fixed text or a Go template over the same facts.
type Format struct {
	Format string `json:"format,omitempty"`
	Client string `json:"client,omitempty"` // the command line's own version
}

// Import makes an image of a root file system. Files: the archive, any of tar,
// tar.gz, tar.xz, tar.zst, tar.bz2.
type Import struct {
	Name    string   `json:"name,omitempty"`
	Changes []string `json:"changes,omitempty"` // Dockerfile instructions: CMD, ENTRYPOINT, ENV, ...
	Message string   `json:"message,omitempty"`
	Source  string   `json:"source"` // for messages: the file's name
}

// Log is where the output of a sandbox is kept.
type Log struct {
	Dir     string `json:"dir"`
	Running bool   `json:"running"`
	Direct  bool   `json:"direct"` // never logged
	ID      string `json:"id"`
}
