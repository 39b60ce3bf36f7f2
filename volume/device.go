package volume

import (
	"path/filepath"
	"slices"
	"strings"

	"sbx/api"
)

// Device is what a volume with options is instead of a directory of its own: a
// directory elsewhere, or a tmpfs.
type Device struct {
	Type     string // api.MountBind, api.MountTmpfs; empty: a directory of its own
	Source   string // of a bind
	Options  string // of a tmpfs, tmpfs(5)
	ReadOnly bool
}

// Device says what a volume is.
func (v *Volume) Device() (Device, error) { return deviceOf(v.Name, v.Options) }

// deviceOf reads the options that Docker's driver "local" hands to mount(8).
func deviceOf(name string, options map[string]string) (Device, error) {
	var d Device
	for key := range options {
		if !slices.Contains([]string{"type", "device", "o"}, key) {
			return d, api.Errorf(createOp, name, "unknown option %q", key).WithHint("options are type, device and o")
		}
	}
	var bind bool
	var rest []string
	for _, word := range strings.Split(options["o"], ",") {
		switch word {
		case "bind", "rbind":
			bind = true
		case "ro":
			d.ReadOnly = true
		case "", "rw":
		default:
			rest = append(rest, word)
		}
	}
	kind := options["type"]
	switch {
	case len(options) == 0:
		return d, nil
	case bind && (kind == "" || kind == "none" || kind == "bind"):
		d.Type, d.Source = api.MountBind, options["device"]
		if !filepath.IsAbs(d.Source) {
			return d, api.Errorf(createOp, name, "device=%q is not an absolute path", d.Source)
		}
		if len(rest) > 0 {
			return d, api.Errorf(createOp, name, "o=%s: a bind has no such option", strings.Join(rest, ",")).WithHint("use o=bind or o=bind,ro")
		}
	case kind == "tmpfs" && !bind:
		d.Type, d.Options = api.MountTmpfs, strings.Join(rest, ",")
	default:
		return d, api.Errorf(createOp, name, "type=%q: only root may mount that", kind).
			WithHint("use type=tmpfs, or type=none with o=bind and device=DIRECTORY for what is mounted on the host already")
	}
	return d, nil
}
