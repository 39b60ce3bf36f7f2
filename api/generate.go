package api

// VerbGenerate asks for the text of a unit file of systemd: Generate, answered by
// Done with the text.
const VerbGenerate = "generate"

// What a unit is made for.
const (
	UnitSupervisor = "supervisor" // starts what has a restart policy
	UnitSandbox    = "sandbox"    // starts one sandbox
	UnitQuadlet    = "quadlet"    // does what a .container file says
)

// Generate says which unit file is wanted.
type Generate struct {
	For     string `json:"for"`
	Exe     string `json:"exe"`               // path of sbx
	Name    string `json:"name,omitempty"`    // of the sandbox, or the file
	Text    string `json:"text,omitempty"`    // of the file
	Restart string `json:"restart,omitempty"` // Restart=, systemd.service(5)
	Timeout int    `json:"timeout,omitempty"` // seconds until stop kills; 0: the sandbox's own
}
