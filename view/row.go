package view

import (
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"sbx/api"
)

// row is one sandbox in ps. Its exported methods are Docker's placeholders; what
// they return is one harmless cell. MarshalJSON has the same, unescaped.
type row struct {
	box   *api.Sandbox
	trunc bool
	size  bool // --size was given: JSON has a real size
	now   time.Time
}

// header has the titles of a table, by placeholder.
type header map[string]string

func newHeader() header {
	return header{
		"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND",
		"CreatedAt": "CREATED AT", "RunningFor": "CREATED", "Ports": "PORTS",
		"State": "STATE", "Status": "STATUS", "Size": "SIZE", "Names": "NAMES",
		"Labels": "LABELS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES",
		"Networks": "NETWORKS",
	}
}

// Label is the title over {{.Label "com.example.cpu-kind"}}: "cpu kind".
func (header) Label(key string) string {
	last := key[strings.LastIndexByte(key, '.')+1:]
	return Safe(strings.NewReplacer("-", " ", "_", " ").Replace(last))
}

func (r *row) ID() string {
	if r.trunc {
		return Safe(shortID(r.box.Config.ID))
	}
	return Safe(r.box.Config.ID)
}

func (r *row) Image() string { return Safe(r.image()) }

// Command is the argument vector in quotes.
func (r *row) Command() string {
	command := strings.Join(r.box.Config.Process.Args(), " ")
	if r.trunc {
		command = ellipsis(command, 20)
	}
	return strconv.Quote(command)
}

func (r *row) CreatedAt() string {
	return time.Unix(r.box.Config.Created.Unix(), 0).String()
}

func (r *row) RunningFor() string { return since(r.box.Config.Created, r.now) + " ago" }

func (r *row) Ports() string { return Safe(portsColumn(r.box)) }

func (r *row) State() string  { return Safe(r.box.Status.State) }
func (r *row) Status() string { return statusText(r.box, r.now) }

// Size is what the sandbox has written. Only a format that names it pays for it.
func (r *row) Size() (string, error) {
	n, err := upperSize(r.box)
	if err != nil {
		return "", err
	}
	return units.HumanSizeWithPrecision(float64(n), 3), nil
}

func (r *row) Names() string  { return Safe(r.box.Config.Name) }
func (r *row) Labels() string { return Safe(r.labels()) }

// Label is the value of one label.
func (r *row) Label(key string) string { return Safe(r.box.Config.Labels[key]) }

func (r *row) Mounts() string { return Safe(r.mounts()) }

// LocalVolumes is how many volumes there are. Binds do not count.
func (r *row) LocalVolumes() string {
	n := 0
	for _, m := range r.box.Config.Mounts {
		if m.Type == api.MountVolume {
			n++
		}
	}
	return strconv.Itoa(n)
}

func (r *row) Networks() string { return Safe(r.networks()) }

func (r *row) networks() string { return strings.Join(networkNames(r.box), ",") }

// MarshalJSON gives the object that docker ps --format json prints. Like Docker
// it has "0B" for a size that was not asked for.
func (r *row) MarshalJSON() ([]byte, error) {
	size := "0B"
	if r.size {
		var err error
		if size, err = r.Size(); err != nil {
			return nil, err
		}
	}
	return r.marshal(size)
}

func (r *row) marshal(size string) ([]byte, error) {
	text, err := encode(map[string]string{
		"ID": r.ID(), "Image": r.image(), "Command": r.Command(),
		"CreatedAt": r.CreatedAt(), "RunningFor": r.RunningFor(), "Ports": r.Ports(),
		"State": r.box.Status.State, "Status": r.Status(), "Size": size,
		"Names": r.box.Config.Name, "Labels": r.labels(), "Mounts": r.mounts(),
		"LocalVolumes": r.LocalVolumes(), "Networks": r.networks(),
	}, "")
	return []byte(text), err
}

// image is the name as it was typed; shortened, it has no digest, and an id has
// twelve digits.
func (r *row) image() string {
	name := r.box.Config.Image
	if name == "" {
		return "<no image>"
	}
	if !r.trunc {
		return name
	}
	id := r.box.Config.ImageID
	if hex := strings.TrimPrefix(name, "sha256:"); id != "" && len(hex) >= 12 && strings.HasPrefix(id, hex) {
		return shortID(id)
	}
	name, _, _ = strings.Cut(name, "@")
	return name
}

func (r *row) labels() string { return labelText(r.box.Config.Labels) }

func (r *row) mounts() string {
	var list []string
	for _, m := range r.box.Config.Mounts {
		if m.Type == mountTmpfs || m.IsDevice() {
			continue
		}
		source := m.Source
		if r.trunc {
			source = ellipsis(source, 15)
		}
		list = append(list, source)
	}
	return strings.Join(list, ",")
}

func shortID(id string) string { return id[:min(12, len(id))] }

// ellipsis cuts s to n characters, the last of which says so.
func ellipsis(s string, n int) string {
	count, cut := 0, 0
	for i := range s {
		if count == n-1 {
			cut = i
		}
		if count++; count > n {
			return s[:cut] + "…"
		}
	}
	return s
}
