package api

// VerbStats asks what sandboxes use: Stats. The answer is one text for each
// moment, a second apart, and done when there is nothing more to show.
const VerbStats = "stats"

// Stats chooses sandboxes; without a name all that run, those that start later too.
type Stats struct {
	Names    []string `json:"names,omitempty"`
	All      bool     `json:"all,omitempty"` // also those that do not run
	NoStream bool     `json:"no_stream,omitempty"`
	NoTrunc  bool     `json:"no_trunc,omitempty"`
	Format   string   `json:"format,omitempty"` // "", "table", "table TEMPLATE", "json" or a Go template
}
