package api

// Verbs about what a sandbox has changed.
const (
	VerbDiff   = "diff"   // Diff
	VerbCommit = "commit" // Commit
)

// Diff lists what a sandbox has changed of its image.
type Diff struct {
	Name   string `json:"name"`
	Format string `json:"format,omitempty"` // empty: Docker's lines; json
}

// Commit makes an image of a sandbox.
type Commit struct {
	Name    string   `json:"name"`
	Image   string   `json:"image,omitempty"` // [HOST/]NAME[:TAG]; empty for an image without a name
	Author  string   `json:"author,omitempty"`
	Message string   `json:"message,omitempty"`
	Changes []string `json:"changes,omitempty"` // Dockerfile instructions
	// Pause freezes the sandbox meanwhile; nil: if it can be.
	Pause *bool `json:"pause,omitempty"`
	Quiet bool  `json:"quiet,omitempty"`
}
