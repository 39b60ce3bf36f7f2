package api

// VerbCopy copies files between a sandbox and the host, or two sandboxes.
const VerbCopy = "cp" // Copy; file: the end that is on the host

// Copy is cp. One of its ends at least is in a sandbox.
type Copy struct {
	From CopyEnd `json:"from"`
	To   CopyEnd `json:"to"`
	// Archive keeps owners, set-id bits and extended attributes.
	Archive bool `json:"archive,omitempty"`
	// Follow copies what a symbolic link as the source leads to.
	Follow bool `json:"follow,omitempty"`
	Quiet  bool `json:"quiet,omitempty"`
}

// CopyEnd is the source or the destination of a copy.
//
// Of a source on the host comes the file itself, open with O_PATH; of a destination
// the directory that it is in, or that it is. The command line opens them, as it has
// the user's view of the host; of a Stream, standard input or output.
type CopyEnd struct {
	Sandbox string `json:"sandbox,omitempty"` // empty: on the host
	Path    string `json:"path"`              // in the sandbox; of the host's, for messages
	Stream  bool   `json:"stream,omitempty"`  // a tar archive
	// Name is the host's: of a source what it is called, "." for what is in the
	// directory; of a destination what it is to be called in the directory that comes,
	// empty if that is the destination.
	Name string `json:"name,omitempty"`
	// Slash says that a destination must be a directory.
	Slash bool `json:"slash,omitempty"`
}
