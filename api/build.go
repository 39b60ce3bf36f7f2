package api

// Verbs of building.
const (
	VerbBuild        = "build"         // Build; files as it says; replies out, err ..., done with the id
	VerbBuilderPrune = "builder prune" // BuilderPrune; replies done
)

// How the context of a build travels.
const (
	ContextDir     = "dir"     // the directory, open with O_PATH
	ContextArchive = "archive" // a stream: a tar archive, packed or not, or a Dockerfile alone
	ContextGit     = "git"     // no file: the URL of a repository, with #REF:DIR
	ContextHTTP    = "http"    // no file: the URL of an archive or of a Dockerfile alone
)

// Build makes an image of a Dockerfile. Its answer is done with the image's id,
// "sha256:...". While it goes on the command line may send resize.
//
// With it come, in this order: the context (ContextDir, ContextArchive), the Dockerfile
// (DockerfileFile), what says what of the context is left out (IgnoreFile), the
// directories of Contexts, the secrets, the keys of SSH, the destination of an output, and the file for
// what is known of the image (Metadata).
type Build struct {
	Context string `json:"context"`         // ContextDir, ...
	URL     string `json:"url,omitempty"`   // ContextGit, ContextHTTP
	Where   string `json:"where,omitempty"` // for messages: the context as the user named it

	Dockerfile     string `json:"dockerfile,omitempty"`     // in the context, empty: the usual names; of a file, for messages
	DockerfileFile bool   `json:"dockerfileFile,omitempty"` // it comes as a file
	IgnoreFile     bool   `json:"ignoreFile,omitempty"`     // <Dockerfile>.dockerignore, or --ignorefile, comes as a file

	Tags      []string          `json:"tags,omitempty"`
	Target    string            `json:"target,omitempty"`
	Platform  string            `json:"platform,omitempty"`
	Args      map[string]string `json:"args,omitempty"` // without a value in the environment: not there
	Labels    map[string]string `json:"labels,omitempty"`
	Contexts  []BuildContext    `json:"contexts,omitempty"`
	NoCache   bool              `json:"noCache,omitempty"`
	NoCacheOf []string          `json:"noCacheOf,omitempty"` // stages
	Pull      string            `json:"pull,omitempty"`      // PullAlways, ...; empty: PullMissing
	Secrets   []BuildSecret     `json:"secrets,omitempty"`
	SSH       []BuildSSH        `json:"ssh,omitempty"`
	Squash    bool              `json:"squash,omitempty"`
	Format    string            `json:"format,omitempty"`    // oci or docker; empty: oci
	Timestamp *int64            `json:"timestamp,omitempty"` // SOURCE_DATE_EPOCH, seconds
	CacheFrom []string          `json:"cacheFrom,omitempty"` // caches outside the store, as typed
	CacheTo   []string          `json:"cacheTo,omitempty"`   // the same
	Dir       string            `json:"dir,omitempty"`       // where the command line is, for the paths of CacheFrom and CacheTo
	Check     bool              `json:"check,omitempty"`     // lint only

	// Of RUN.
	Network  string   `json:"network,omitempty"` // default (also ""), none, host
	AddHosts []string `json:"addHosts,omitempty"`
	Limits   Limits   `json:"limits,omitzero"`
	Rlimits  []Rlimit `json:"rlimits,omitempty"`
	Allow    []string `json:"allow,omitempty"` // entitlements: network.host, security.insecure

	Output   BuildOutput `json:"output,omitzero"`
	Metadata bool        `json:"metadata,omitempty"`
	Quiet    bool        `json:"quiet,omitempty"`
	Progress string      `json:"progress,omitempty"` // plain, tty, rawjson; never auto
	Colour   bool        `json:"colour,omitempty"`
	Size     Size        `json:"size,omitzero"` // of the terminal, for tty
	Reach    Reach       `json:"reach,omitzero"`
}

// BuildContext is --build-context NAME=VALUE.
type BuildContext struct {
	Name  string `json:"name"`
	Dir   bool   `json:"dir,omitempty"` // it comes as a file: the directory, open with O_PATH
	Value string `json:"value"`         // docker-image://NAME, oci-layout:///DIR[:TAG|@DIGEST], target:STAGE, the URL of a repository or of a file; of a directory, for messages
}

// BuildSecret is a secret that comes as a file, for RUN --mount=type=secret.
type BuildSecret struct {
	ID string `json:"id"`
}

// BuildSSH is an agent's socket on the host, or private keys that come as files, for
// RUN --mount=type=ssh.
type BuildSSH struct {
	ID     string   `json:"id"` // "default"; also for repositories
	Socket string   `json:"socket,omitempty"`
	Keys   []string `json:"keys,omitempty"` // for messages: the files as the user named them
}

// Types of BuildOutput.
const (
	OutputLocal  = "local"  // the file system, into the directory that comes
	OutputTar    = "tar"    // the file system, as a tar archive, into the file that comes
	OutputOCI    = "oci"    // the image, as an OCI archive, into the file that comes
	OutputDocker = "docker" // the image, as an archive of docker save, into the file that comes
)

// BuildOutput is where the result goes; the zero value: an image in the store.
type BuildOutput struct {
	Type string `json:"type,omitempty"` // OutputLocal, ...
}

// BuilderPrune removes what builds have kept for later ones.
type BuilderPrune struct {
	All         bool     `json:"all,omitempty"`
	KeepStorage int64    `json:"keepStorage,omitempty"` // bytes
	Filters     []string `json:"filters,omitempty"`     // until=
}
