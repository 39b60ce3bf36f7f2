package api

// Verbs about images.
const (
	VerbPull         = "pull"          // Pull
	VerbPush         = "push"          // Push
	VerbLogin        = "login"         // Login
	VerbLogout       = "logout"        // Logout
	VerbSearch       = "search"        // Search
	VerbImages       = "images"        // ListImages
	VerbRemoveImage  = "rmi"           // RemoveImages
	VerbTag          = "tag"           // Tag
	VerbInspectImage = "image inspect" // Inspect
	VerbHistory      = "history"       // History
	VerbSave         = "save"          // Save; file: the output, unless it is a directory
	VerbLoad         = "load"          // Load; file: the archive, unless it is a directory
	VerbExport       = "export"        // Name; file: the output
	VerbPruneImages  = "image prune"   // PruneImages
	VerbDiskUsage    = "system df"     // DiskUsage
	VerbReset        = "system reset"  // no body
)

// KindProgress reports on long work, any number of times before done or started.
const KindProgress = "progress" // Progress

// Progress is what has changed since the last one.
type Progress struct {
	Line  string `json:"line,omitempty"` // a remark of its own: "Trying docker.io/library/debian:13"
	Steps []Step `json:"steps,omitempty"`
}

// Step is one of several things that are done side by side, mostly a layer. Its
// first report puts it in the list, a later one replaces it.
type Step struct {
	ID    string `json:"id"`             // 12 digits of a digest, or "config"
	State string `json:"state"`          // one of the words below
	Done  int64  `json:"done,omitempty"` // bytes
	Size  int64  `json:"size,omitempty"` // bytes; 0: not known
}

// States of a step. Present, Complete, Mounted and Reused are final.
const (
	StepWaiting   = "waiting"
	StepPulling   = "pulling"
	StepUnpacking = "unpacking"
	StepComplete  = "complete"
	StepPresent   = "already there"
	StepPushing   = "pushing"
	StepMounted   = "mounted from another repository"
	StepRetrying  = "retrying"
)

// Reach is how the command line's user reaches registries: the supervisor has an
// environment of its own. It is never written to disk or logged: addresses of
// proxies hold passwords.
type Reach struct {
	HTTPProxy  string `json:"http_proxy,omitempty"`
	HTTPSProxy string `json:"https_proxy,omitempty"`
	NoProxy    string `json:"no_proxy,omitempty"`
	// AuthFile is $REGISTRY_AUTH_FILE or --authfile, absolute.
	AuthFile string `json:"auth_file,omitempty"`
	// DockerConfig is $DOCKER_CONFIG, a directory, absolute.
	DockerConfig string `json:"docker_config,omitempty"`
	// CertDir is --cert-dir, absolute: ca.crt, client.cert, client.key.
	CertDir string `json:"cert_dir,omitempty"`
	// TLSVerify is --tls-verify; nil: registries.conf says.
	TLSVerify *bool `json:"tls_verify,omitempty"`
	// User and Password are --creds.
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	// Shared are OCI layouts, absolute, that blobs are taken from before a registry
	// is asked: $SBX_SHARED.
	Shared []string `json:"shared,omitempty"`
	// Registries is $CONTAINERS_REGISTRIES_CONF, Policy --signature-policy; absolute.
	Registries string `json:"registries,omitempty"`
	Policy     string `json:"policy,omitempty"`
	// Path is $PATH, for credential helpers.
	Path string `json:"path,omitempty"`
}

// Pull policies.
const (
	PullAlways  = "always"
	PullMissing = "missing"
	PullNewer   = "newer"
	PullNever   = "never"
)

// Pull fetches an image. Names may be docker://, oci:, oci-archive:,
// docker-archive: or dir: references too.
type Pull struct {
	Names    []string `json:"names"`
	Platform string   `json:"platform,omitempty"` // os/arch[/variant]; empty: the host's
	AllTags  bool     `json:"all_tags,omitempty"`
	Policy   string   `json:"policy,omitempty"` // empty: always
	Quiet    bool     `json:"quiet,omitempty"`
	Reach    Reach    `json:"reach"`
}

// Push sends an image to a registry, or to any transport that Pull knows.
type Push struct {
	Name        string `json:"name"`
	To          string `json:"to,omitempty"` // empty: Name
	AllTags     bool   `json:"all_tags,omitempty"`
	Compression string `json:"compression,omitempty"` // gzip, zstd; empty: gzip
	Level       *int   `json:"level,omitempty"`
	Format      string `json:"format,omitempty"`      // oci, v2s2; empty: the image's own
	DigestFile  string `json:"digest_file,omitempty"` // absolute
	Quiet       bool   `json:"quiet,omitempty"`
	Reach       Reach  `json:"reach"`
}

// Login checks and keeps credentials. An empty registry is docker.io.
type Login struct {
	Registry string `json:"registry,omitempty"`
	User     string `json:"user"`
	Password string `json:"password"`
	GetLogin bool   `json:"get_login,omitempty"` // only say who is logged in
	Reach    Reach  `json:"reach"`
}

// Logout forgets credentials.
type Logout struct {
	Registry string `json:"registry,omitempty"`
	All      bool   `json:"all,omitempty"`
	Reach    Reach  `json:"reach"`
}

// Search asks a registry for repositories.
type Search struct {
	Term    string   `json:"term"` // [HOST/]TERM
	Limit   int      `json:"limit,omitempty"`
	Filters []string `json:"filters,omitempty"`
	NoTrunc bool     `json:"no_trunc,omitempty"`
	Format  string   `json:"format,omitempty"`
	Reach   Reach    `json:"reach"`
}

// ListImages is images.
type ListImages struct {
	Name    string   `json:"name,omitempty"` // only this repository, or repository:tag
	All     bool     `json:"all,omitempty"`
	Digests bool     `json:"digests,omitempty"`
	NoTrunc bool     `json:"no_trunc,omitempty"`
	Quiet   bool     `json:"quiet,omitempty"`
	Filters []string `json:"filters,omitempty"`
	Format  string   `json:"format,omitempty"`
}

// RemoveImages is rmi.
type RemoveImages struct {
	Names []string `json:"names"`
	Force bool     `json:"force,omitempty"`
	All   bool     `json:"all,omitempty"`
}

// Tag gives an image another name.
type Tag struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// History shows how an image was made.
type History struct {
	Name    string `json:"name"`
	Human   bool   `json:"human"`
	NoTrunc bool   `json:"no_trunc,omitempty"`
	Quiet   bool   `json:"quiet,omitempty"`
	Format  string `json:"format,omitempty"`
}

// Formats of Save and Load.
const (
	DockerArchive = "docker-archive"
	OCIArchive    = "oci-archive"
	OCIDir        = "oci-dir"
	DockerDir     = "docker-dir"
)

// Save writes images to an archive, or to a directory that others may pull from.
type Save struct {
	Names  []string `json:"names"`
	Format string   `json:"format,omitempty"` // empty: docker-archive
	Dir    string   `json:"dir,omitempty"`    // absolute; for oci-dir and docker-dir
	Quiet  bool     `json:"quiet,omitempty"`
}

// Load takes images from an archive.
type Load struct {
	Source   string `json:"source"`        // for messages: the file's name
	Dir      string `json:"dir,omitempty"` // absolute; instead of a file
	Platform string `json:"platform,omitempty"`
	Quiet    bool   `json:"quiet,omitempty"`
}

// PruneImages removes images that have no name, or with All those that no sandbox
// uses.
type PruneImages struct {
	All     bool     `json:"all,omitempty"`
	Filters []string `json:"filters,omitempty"`
}

// DiskUsage is system df.
type DiskUsage struct {
	Verbose bool   `json:"verbose,omitempty"`
	Format  string `json:"format,omitempty"`
}
