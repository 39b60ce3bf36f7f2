package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sbx/api"
)

// mountSpec is what --mount says, before it is checked.
type mountSpec struct {
	api.Mount
	options []string // of a bind or a volume, as -v has them
	tmpfs   []string // size=..., mode=...
	only    string   // the type that a key was for
	onlyKey string
}

// parseMount reads --mount, a line of comma separated values with CSV quoting.
func parseMount(text string) (api.Mount, error) {
	const flag = "--mount"
	fields, ok := splitCSV(text)
	if !ok {
		return api.Mount{}, invalid(flag, text, "not comma separated key=value")
	}
	spec := mountSpec{Mount: api.Mount{Type: api.MountVolume}}
	for _, field := range fields {
		key, value, set := strings.Cut(field, "=")
		if err := spec.set(strings.ToLower(strings.TrimSpace(key)), value, set); err != nil {
			return api.Mount{}, invalid(flag, text, err.Error())
		}
	}
	m := spec.Mount
	var err error
	switch {
	case spec.only != "" && spec.only != m.Type:
		return m, invalid(flag, text, "the option "+spec.onlyKey+" is for type="+spec.only)
	case m.Subpath != "" && m.Type != api.MountVolume && m.Type != api.MountImage:
		return m, invalid(flag, text, "a subpath is of a volume or an image: name the directory itself")
	case m.Type == api.MountTmpfs && (m.Source != "" || spec.options != nil):
		return m, invalid(flag, text, "a tmpfs has no source, and no options but its own")
	case m.Type == api.MountTmpfs:
		m.Options = strings.Join(spec.tmpfs, ",")
		if m.Target, err = mountTarget(m.Target); err != nil {
			err = invalid(flag, text, err.Error())
		}
		return m, err
	case m.Type == api.MountBind && m.Source == "":
		return m, invalid(flag, text, "a bind needs source=")
	case m.Type == api.MountImage:
		return settleImage(flag, text, spec)
	case m.Type == api.MountBind:
		m.Source, err = filepath.Abs(m.Source)
	case m.Source != "":
		err = checkVolumeName(m.Source)
	}
	if err != nil {
		return m, invalid(flag, text, err.Error())
	}
	if m.ReadOnly {
		spec.options = append(spec.options, "ro")
	}
	return settleMount(flag, text, m, spec.options)
}

func (s *mountSpec) set(key, value string, set bool) error {
	if !set {
		value = "true"
	}
	if kind, _, prefixed := strings.Cut(key, "-"); prefixed && (kind == api.MountBind || kind == api.MountVolume || kind == api.MountTmpfs || kind == api.MountImage) {
		s.only, s.onlyKey = kind, key
	}
	switch key {
	case "readonly", "ro":
		return yes(key, value, func() { s.ReadOnly = true })
	case "rw", "readwrite":
		s.only, s.onlyKey = api.MountImage, key
		return yes(key, value, s.option(api.OptOverlay))
	case "idmap":
		return yes(key, value, s.option(key))
	case "tmpcopyup":
		return errors.New("nothing is copied into a tmpfs: use a volume, which is filled from the image")
	case "notmpcopyup":
		s.only, s.onlyKey = api.MountTmpfs, key
		return yes(key, value, func() {}) // what is the case anyway
	case "u", "chown":
		return yes(key, value, s.option(api.OptChown))
	case "bind-nonrecursive":
		return yes(key, value, s.option(api.OptFlat))
	case "volume-nocopy":
		return yes(key, value, s.option("nocopy"))
	case "bind-create-src":
		return yes(key, value, s.option("create-src"))
	case "exec", "noexec", "suid", "nosuid", "dev", "nodev", "rro":
		if !set {
			s.options = append(s.options, key)
			return nil
		}
	}
	if !set {
		return fmt.Errorf("%q is not key=value", key)
	}
	return s.setValue(key, value)
}

func (s *mountSpec) option(word string) func() {
	return func() { s.options = append(s.options, word) }
}

// yes reads a switch.
func yes(key, value string, do func()) error {
	on, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("%s=%q is neither true nor false", key, value)
	}
	if on {
		do()
	}
	return nil
}

func (s *mountSpec) setValue(key, value string) error {
	switch key {
	case "type":
		return s.setType(strings.ToLower(value))
	case "source", "src":
		s.Source = value
	case "target", "dst", "destination":
		s.Target = value
	case "bind-propagation":
		s.options = append(s.options, value)
	case "consistency": // macOS only
	case "relabel":
		s.options = append(s.options, value+"-label")
	case "bind-recursive":
		return s.recursive(value)
	case "volume-subpath", "image-subpath", "subpath":
		return s.setSubpath(value)
	case "volume-driver":
		return checkDriver(key, value)
	case "volume-label":
		put(&s.Volume.Labels, value)
	case "volume-opt":
		put(&s.Volume.Options, value)
	case "tmpfs-size":
		n, err := parseBytes(value)
		s.tmpfs = append(s.tmpfs, "size="+strconv.FormatInt(n, 10))
		return err
	case "tmpfs-mode":
		if _, err := strconv.ParseUint(value, 8, 12); err != nil {
			return fmt.Errorf("tmpfs-mode=%q is not an octal mode", value)
		}
		s.tmpfs = append(s.tmpfs, "mode="+value)
	default:
		return fmt.Errorf("unknown option %q", key)
	}
	return nil
}

func (s *mountSpec) setType(kind string) error {
	switch kind {
	case api.MountBind, api.MountVolume, api.MountTmpfs, api.MountImage:
		s.Type = kind
		return nil
	case "cluster", "npipe":
		return fmt.Errorf("type %q is not for Linux without a cluster: sbx mounts bind, volume, tmpfs and image", kind)
	case "devpts":
		return errors.New("each sandbox has its own /dev/pts: leave it out")
	case "glob":
		return errors.New("type glob is not supported: bind the directory, or each of the files")
	case "ramfs":
		return errors.New("only root may mount a ramfs: use type=tmpfs")
	case "artifact":
		return errors.New("sbx stores no artifacts: copy the file into a volume, or bind it")
	}
	return fmt.Errorf("unknown type %q: expected bind, volume, tmpfs or image", kind)
}

// settleImage checks an image that is mounted. Changes to it, with rw, go to an overlay.
func settleImage(flag, text string, s mountSpec) (api.Mount, error) {
	m := s.Mount
	if m.Source == "" {
		return m, invalid(flag, text, "an image needs source=")
	}
	var err error
	if m.Target, err = mountTarget(m.Target); err != nil {
		return m, invalid(flag, text, err.Error())
	}
	writable := slices.Contains(s.options, api.OptOverlay)
	if writable && m.ReadOnly {
		return m, invalid(flag, text, "give one of ro and rw")
	}
	m.ReadOnly = !writable
	if err := setOptions(&m, s.options); err != nil {
		return m, invalid(flag, text, err.Error())
	}
	return m, nil
}

// recursive says what holds for the mounts below the source.
func (s *mountSpec) recursive(value string) error {
	switch value {
	case "enabled", "readonly": // read-only holds for all of them anyway
	case "disabled":
		s.options = append(s.options, api.OptFlat)
	case "writable":
		s.options = append(s.options, api.OptWritable)
	default:
		return fmt.Errorf("bind-recursive=%q: expected enabled, disabled, writable or readonly", value)
	}
	return nil
}

func (s *mountSpec) setSubpath(value string) error {
	if value == "" || filepath.IsAbs(value) || !filepath.IsLocal(value) {
		return fmt.Errorf("the subpath %q is not a path in the volume or image", value)
	}
	s.Subpath = value
	return nil
}

// put adds KEY[=VALUE] to a map that may be nil.
func put(to *map[string]string, text string) {
	if *to == nil {
		*to = map[string]string{}
	}
	key, value, _ := strings.Cut(text, "=")
	(*to)[key] = value
}

// parseTmpfs reads --tmpfs TARGET[:OPTIONS].
func parseTmpfs(text string) (api.Mount, error) {
	target, options, _ := strings.Cut(text, ":")
	target, err := mountTarget(target)
	if err != nil {
		return api.Mount{}, invalid("--tmpfs", text, err.Error())
	}
	m := api.Mount{Type: "tmpfs", Target: target}
	var keep []string
	for _, opt := range strings.Split(options, ",") {
		switch {
		case opt == "":
		case opt == "ro":
			m.ReadOnly = true
		case opt == "rw":
			m.ReadOnly = false
		case opt == "dev":
			return m, invalid("--tmpfs", text, "no device nodes can be made there, so the option dev has no meaning")
		case tmpfsOption(opt):
			keep = append(keep, opt)
		default:
			return m, invalid("--tmpfs", text, "unknown option "+quote(opt)+", see tmpfs(5)")
		}
	}
	m.Options = strings.Join(keep, ",")
	return m, nil
}

// tmpfsOption knows what tmpfs(5) takes, and the flags of mount(8) that Docker
// lets through.
func tmpfsOption(opt string) bool {
	key, value, set := strings.Cut(opt, "=")
	if !set {
		switch key {
		case "exec", "noexec", "suid", "nosuid", "nodev", "sync", "async", "dirsync",
			"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime":
			return true
		}
		return false
	}
	switch key {
	case "size", "nr_blocks", "nr_inodes":
		if value != "" && strings.ContainsRune("kKmMgGtT%", rune(value[len(value)-1])) {
			value = value[:len(value)-1]
		}
		_, err := strconv.ParseUint(value, 10, 63)
		return err == nil
	case "mode":
		_, err := strconv.ParseUint(value, 8, 12)
		return err == nil
	case "uid", "gid":
		_, err := strconv.ParseUint(value, 10, 32)
		return err == nil
	}
	return false
}

// parseBytes reads a size as Docker writes them: 64m, 1GiB, 1.5g, 4096. All
// units are powers of 1024.
func parseBytes(text string) (int64, error) {
	number := strings.TrimRight(strings.ToLower(text), "bikmgtp ")
	unit := strings.TrimSpace(strings.ToLower(text)[len(number):])
	unit = strings.TrimSuffix(strings.TrimSuffix(unit, "b"), "i")
	shift := strings.Index(" kmgtp", unit)
	if unit == "" {
		shift = 0
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n < 0 || shift < 0 || len(unit) > 1 || n*float64(int64(1)<<(10*shift)) >= 1<<62 {
		return 0, fmt.Errorf("%q is not a size like 64m", text)
	}
	return int64(n * float64(int64(1)<<(10*shift))), nil
}
