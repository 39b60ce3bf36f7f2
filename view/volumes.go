package view

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sbx/api"
)

// VolumeDriver is Docker's name for volumes that are directories on this machine.
const VolumeDriver = "local"

// Volume is what lists of volumes, and inspect, are made from.
type Volume struct {
	Name       string
	Mountpoint string // its directory on the host
	Anonymous  bool
	Labels     map[string]string
	Options    map[string]string
	Created    time.Time
}

const (
	volumesUsual = `{{.Driver}}\t{{.Name}}`
	volumesRaw   = `name: {{.Name}}\ndriver: {{.Driver}}\n`
	volumesQuiet = `{{.Name}}`
	// notMeasured is what Docker shows of a volume where nobody has asked for it.
	notMeasured = "N/A"
)

func volumeTitles() header {
	return header{
		"Name": "VOLUME NAME", "Driver": "DRIVER", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS",
		"Links": "LINKS", "Size": "SIZE", "Availability": "AVAILABILITY", "Group": "GROUP", "Status": "STATUS",
	}
}

// Volumes is docker volume ls: the volumes that the request selects, by name. The
// sandboxes are asked who has them.
//
// The error is an *api.Error and names the filter or the placeholder at fault.
func Volumes(all []Volume, boxes []api.Sandbox, req api.VolumeList) (string, error) {
	f, err := parseVolumeFilter(req.Filters, "dangling", "driver", "label", "name")
	if err != nil {
		return "", err
	}
	var rows []any
	for i := range all {
		if f.match(&all[i], boxes) {
			rows = append(rows, &volumeRow{v: &all[i]})
		}
	}
	s := sheet{titles: volumeTitles(), usual: volumesUsual, raw: volumesRaw, quiet: volumesQuiet}
	return s.render(rows, req.Format, req.Quiet)
}

// PrunableVolumes are the volumes that volume prune removes: no sandbox has them, the
// filters select them, and nobody has given them a name, or the request says all.
//
// The error is an *api.Error and names the filter at fault.
func PrunableVolumes(all []Volume, boxes []api.Sandbox, req api.VolumePrune) ([]Volume, error) {
	f, err := parseVolumeFilter(req.Filters, "all", "label", "label!")
	if err != nil {
		return nil, err
	}
	unused := true
	f.dangling = &unused
	return slices.DeleteFunc(slices.Clone(all), func(v Volume) bool {
		return !f.match(&v, boxes) || !v.Anonymous && !req.All && !f.all
	}), nil
}

// links are the sandboxes that have a volume.
func links(name string, boxes []api.Sandbox) int {
	n := 0
	for i := range boxes {
		if slices.ContainsFunc(boxes[i].Config.Mounts, func(m api.Mount) bool { return m.Type == api.MountVolume && m.Source == name }) {
			n++
		}
	}
	return n
}

// volumeFilter is the --filter flags of volume ls and volume prune. Values of one key
// are alternatives, but for labels; different keys must all agree.
type volumeFilter struct {
	names          []*regexp.Regexp
	drivers        []string
	labels, absent []string
	dangling       *bool // no sandbox has it
	all            bool
}

func parseVolumeFilter(args []string, known ...string) (*volumeFilter, error) {
	f := &volumeFilter{}
	return f, eachFilter(args, func(key, value string) (err error) {
		if !slices.Contains(known, key) {
			return filterError(key+"="+value, "no such filter").WithHint("filters are %s", strings.Join(known, ", "))
		}
		switch key {
		case "name":
			f.names, err = addPattern(f.names, key, value)
		case "driver":
			f.drivers = append(f.drivers, value)
		case "label":
			f.labels = append(f.labels, value)
		case "label!":
			f.absent = append(f.absent, value)
		case "dangling", "all":
			yes, err := strconv.ParseBool(value)
			if err != nil {
				return filterError(key+"="+value, "it is true or false")
			}
			if key == "all" {
				f.all = yes
			} else {
				f.dangling = &yes
			}
		}
		return err
	})
}

func (f *volumeFilter) match(v *Volume, boxes []api.Sandbox) bool {
	return anyOf(f.names, func(re *regexp.Regexp) bool { return re.MatchString(v.Name) }) &&
		anyOf(f.drivers, func(d string) bool { return d == VolumeDriver }) &&
		!slices.ContainsFunc(f.labels, func(l string) bool { return !hasLabel(v.Labels, l) }) &&
		!slices.ContainsFunc(f.absent, func(l string) bool { return hasLabel(v.Labels, l) }) &&
		(f.dangling == nil || *f.dangling == (links(v.Name, boxes) == 0))
}

// volumeRow is one line of volume ls, or of system df. Its exported methods are
// Docker's placeholders.
type volumeRow struct {
	v        *Volume
	measured bool
	disk     int64
	links    int
}

func (r *volumeRow) Name() string         { return Safe(r.v.Name) }
func (r *volumeRow) Driver() string       { return VolumeDriver }
func (r *volumeRow) Scope() string        { return "local" }
func (r *volumeRow) Mountpoint() string   { return Safe(r.v.Mountpoint) }
func (r *volumeRow) Labels() string       { return Safe(labelText(r.v.Labels)) }
func (r *volumeRow) Availability() string { return notMeasured }
func (r *volumeRow) Group() string        { return notMeasured }
func (r *volumeRow) Status() string       { return notMeasured }

// Label is the value of one label.
func (r *volumeRow) Label(key string) string { return Safe(r.v.Labels[key]) }

func (r *volumeRow) Links() string {
	if !r.measured {
		return notMeasured
	}
	return strconv.Itoa(r.links)
}

func (r *volumeRow) Size() string {
	if !r.measured {
		return notMeasured
	}
	return HumanSize(r.disk)
}

// MarshalJSON gives the object that docker volume ls --format json prints.
func (r *volumeRow) MarshalJSON() ([]byte, error) {
	text, err := encode(map[string]string{
		"Availability": r.Availability(), "Driver": r.Driver(), "Group": r.Group(), "Labels": labelText(r.v.Labels), "Links": r.Links(),
		"Mountpoint": r.v.Mountpoint, "Name": r.v.Name, "Scope": r.Scope(), "Size": r.Size(), "Status": r.Status(),
	}, "")
	return []byte(text), err
}

// volumeObject is what docker volume inspect prints, with the names and the order of
// Docker's API. Like there, no labels and no options are null.
type volumeObject struct {
	CreatedAt  string
	Driver     string
	Labels     map[string]string
	Mountpoint string
	Name       string
	Options    map[string]string
	Scope      string
}

// InspectedVolume is a volume for Inspect.
func InspectedVolume(v Volume) Object {
	return Object{volumeObject{
		CreatedAt: v.Created.Format(time.RFC3339), Driver: VolumeDriver, Labels: v.Labels, Mountpoint: v.Mountpoint, Name: v.Name,
		Options: v.Options, Scope: "local",
	}}
}

// mountPoints are the binds and volumes. Like Docker's, a tmpfs is in HostConfig.Tmpfs.
// The directory of volumes is found from that of the sandbox.
func mountPoints(box *api.Sandbox) []mountPoint {
	out := []mountPoint{}
	for _, m := range box.Config.Mounts {
		if m.IsDevice() {
			continue
		}
		p := mountPoint{Type: m.Type, Source: m.Source, Destination: m.Target, Mode: mode(m), RW: !m.ReadOnly}
		switch m.Type {
		case api.MountTmpfs:
			continue
		case api.MountBind:
			p.Propagation = propagation(m)
		case api.MountVolume:
			p.Name, p.Driver = m.Source, VolumeDriver
			p.Source = filepath.Join(filepath.Dir(filepath.Dir(box.Dir)), "volumes", m.Source, "_data")
		}
		out = append(out, p)
	}
	return out
}

func propagation(m api.Mount) string {
	for _, word := range strings.Split(m.Options, ",") {
		if word == api.OptSlave || word == api.OptRslave {
			return word
		}
	}
	return "rprivate"
}

// anonymousAt are the places of volumes without a name of the user's.
func anonymousAt(mounts []api.Mount) map[string]struct{} {
	var out map[string]struct{}
	for _, m := range mounts {
		if m.Type == api.MountVolume && m.Volume.Anonymous {
			if out == nil {
				out = map[string]struct{}{}
			}
			out[m.Target] = struct{}{}
		}
	}
	return out
}

// hasVolume says whether a sandbox has a bind or volume of this name, source, or at
// this place.
func hasVolume(box *api.Sandbox, word string) bool {
	return slices.ContainsFunc(box.Config.Mounts, func(m api.Mount) bool {
		return m.Type != api.MountTmpfs && (m.Source == word || filepath.Clean(m.Target) == filepath.Clean(word))
	})
}
