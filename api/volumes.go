package api

// Verbs about volumes.
const (
	VerbVolumeCreate  = "volume create"  // VolumeCreate
	VerbVolumeList    = "volume ls"      // VolumeList
	VerbVolumeInspect = "volume inspect" // Inspect
	VerbVolumeRemove  = "volume rm"      // VolumeRemove
	VerbVolumePrune   = "volume prune"   // VolumePrune
)

// Types of a Mount.
const (
	MountBind   = "bind"
	MountVolume = "volume"
	MountTmpfs  = "tmpfs"
	MountImage  = "image"
)

// Words in the options of a bind or a volume. Others mean what is the case anyway.
const (
	OptNoExec   = "noexec"
	OptSuid     = "suid"         // else set-user-id bits have no effect
	OptDev      = "dev"          // else device nodes do not work
	OptDevice   = "device"       // the same, of a bind that --device has made
	OptSlave    = "slave"        // what the host mounts there later is seen
	OptRslave   = "rslave"       // and what it mounts below
	OptFlat     = "nonrecursive" // without what is mounted below
	OptWritable = "writable"     // read-only does not hold for what is mounted below
	OptChown    = "U"            // all of it is given to the sandbox's user
	OptOverlay  = "O"            // what is written is kept apart from the source, until the sandbox ends
)

// IsDevice says that --device has made the bind.
func (m *Mount) IsDevice() bool { return m.Options == OptDevice }

// VolumeWish is what a mount says about its volume.
type VolumeWish struct {
	Anonymous bool `json:"anonymous,omitempty"` // made for this sandbox, and removed with it
	NoCopy    bool `json:"no_copy,omitempty"`   // not filled with what the image has there
	// Labels and Options of a volume that does not exist yet.
	Labels  map[string]string `json:"labels,omitempty"`
	Options map[string]string `json:"options,omitempty"` // of Docker's driver "local": type, device, o
}

// VolumeCreate makes a volume. One of that name that exists, and does not differ, is
// left as it is.
type VolumeCreate struct {
	Name    string            `json:"name,omitempty"` // empty: an anonymous one
	Labels  map[string]string `json:"labels,omitempty"`
	Options map[string]string `json:"options,omitempty"` // see VolumeWish
}

// VolumeList is volume ls.
type VolumeList struct {
	Quiet   bool     `json:"quiet,omitempty"`
	Filters []string `json:"filters,omitempty"`
	Format  string   `json:"format,omitempty"`
}

// VolumeRemove removes volumes.
type VolumeRemove struct {
	Names []string `json:"names"`
	Force bool     `json:"force,omitempty"` // no error if it is not there
}

// VolumePrune removes volumes that no sandbox has: anonymous ones, or all.
type VolumePrune struct {
	All     bool     `json:"all,omitempty"`
	Filters []string `json:"filters,omitempty"`
	Part    bool     `json:"part,omitempty"` // of system prune: nothing is said if there is nothing to remove
}
