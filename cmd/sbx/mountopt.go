package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"sbx/api"
)

// mountSpec is what --mount says, before it is checked.
type mountSpec struct {
	kind, source, target string
	readOnly             bool
	tmpfs                []string // size=..., mode=...
}

// parseMount reads --mount, a line of comma separated values with CSV quoting.
func parseMount(text string) (api.Mount, error) {
	const flag = "--mount"
	fields, ok := splitCSV(text)
	if !ok {
		return api.Mount{}, invalid(flag, text, "not comma separated key=value")
	}
	spec := mountSpec{kind: "volume"}
	for _, field := range fields {
		key, value, set := strings.Cut(field, "=")
		if err := spec.set(strings.ToLower(strings.TrimSpace(key)), value, set); err != nil {
			return api.Mount{}, invalid(flag, text, err.Error())
		}
	}
	switch {
	case spec.kind == "bind" && spec.tmpfs != nil:
		return api.Mount{}, invalid(flag, text, "tmpfs options on a bind")
	case spec.kind == "bind" && spec.source == "":
		return api.Mount{}, invalid(flag, text, "a bind needs source=")
	case spec.kind == "bind":
		source, err := filepath.Abs(spec.source)
		if err != nil {
			return api.Mount{}, invalid(flag, text, err.Error())
		}
		return bind(flag, text, source, spec.target, spec.readOnly)
	case spec.source != "":
		return api.Mount{}, invalid(flag, text, "a tmpfs has no source")
	}
	target, err := mountTarget(spec.target)
	if err != nil {
		return api.Mount{}, invalid(flag, text, err.Error())
	}
	return api.Mount{Type: "tmpfs", Target: target, ReadOnly: spec.readOnly, Options: strings.Join(spec.tmpfs, ",")}, nil
}

func (s *mountSpec) set(key, value string, set bool) error {
	if (key == "readonly" || key == "ro") && !set {
		s.readOnly = true
		return nil
	}
	if !set {
		return fmt.Errorf("%q is not key=value", key)
	}
	var err error
	switch key {
	case "type":
		s.kind = strings.ToLower(value)
		if s.kind != "bind" && s.kind != "tmpfs" {
			err = fmt.Errorf("type %q is not supported yet: %s", value, noVolumes)
		}
	case "source", "src":
		s.source = value
	case "target", "dst", "destination":
		s.target = value
	case "readonly", "ro":
		if s.readOnly, err = strconv.ParseBool(value); err != nil {
			err = fmt.Errorf("%s=%q is neither true nor false", key, value)
		}
	case "tmpfs-size":
		var n int64
		if n, err = parseBytes(value); err == nil {
			s.tmpfs = append(s.tmpfs, "size="+strconv.FormatInt(n, 10))
		}
	case "tmpfs-mode":
		if _, err = strconv.ParseUint(value, 8, 12); err != nil {
			err = fmt.Errorf("tmpfs-mode=%q is not an octal mode", value)
		}
		s.tmpfs = append(s.tmpfs, "mode="+value)
	default:
		err = mountKey(key)
	}
	if err == nil && s.kind == "volume" && key == "type" {
		err = errors.New(noVolumes)
	}
	return err
}

func mountKey(key string) error {
	switch key {
	case "bind-propagation", "bind-nonrecursive", "bind-recursive", "bind-create-src", "consistency",
		"volume-subpath", "volume-nocopy", "volume-label", "volume-driver", "volume-opt", "image-subpath", "tmpfs-options":
		return fmt.Errorf("the option %s is not supported yet", key)
	}
	return fmt.Errorf("unknown option %q", key)
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
		case "exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async", "dirsync",
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
