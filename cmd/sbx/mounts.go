package main

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// mountFlags say what of the host, and which volumes, are seen in the sandbox.
type mountFlags struct {
	volumes, mounts, tmpfs, from []string
	devices                      []string
	driver                       string
	here                         bool
}

func (f *mountFlags) add(fs *pflag.FlagSet) {
	fs.VarP((*list)(&f.volumes), "volume", "v", "`[SOURCE:]TARGET[:OPTIONS]` bind a file or directory of the host, or mount a volume")
	fs.Var((*list)(&f.mounts), "mount", "`type=bind|volume|tmpfs|image,source=...,target=...[,OPTIONS]`")
	fs.Var((*list)(&f.devices), "device", "`DEVICE[:TARGET]` of the machine, or a directory of devices")
	fs.Var((*list)(&f.tmpfs), "tmpfs", "`TARGET[:OPTIONS]` a file system in memory, options as in tmpfs(5)")
	fs.Var((*list)(&f.from), "volumes-from", "`SANDBOX[:ro]` whose binds and volumes this one has too")
	fs.StringVar(&f.driver, "volume-driver", "", "`local` is the only driver of volumes")
	fs.BoolVar(&f.here, "here", false, "short for -v $PWD:$PWD -w $PWD")
}

// list gives the mounts in the order -v, --mount, --tmpfs, --device, --here. groups are
// those of --group-add.
func (f *mountFlags) list(groups []string) ([]api.Mount, error) {
	if err := checkDriver("--volume-driver", f.driver); err != nil {
		return nil, err
	}
	for _, from := range f.from {
		if name, mode, moded := strings.Cut(from, ":"); name == "" || moded && mode != "ro" && mode != "rw" {
			return nil, invalid("--volumes-from", from, "expected SANDBOX[:ro|:rw]")
		}
	}
	var mounts []api.Mount
	for _, kind := range []struct {
		values []string
		parse  func(string) (api.Mount, error)
	}{{f.volumes, parseVolume}, {f.mounts, parseMount}, {f.tmpfs, parseTmpfs},
		{f.devices, func(text string) (api.Mount, error) { return parseDevice(text, groups) }}} {
		for _, v := range kind.values {
			m, err := kind.parse(v)
			if err != nil {
				return nil, err
			}
			mounts = append(mounts, m)
		}
	}
	if f.here {
		m, err := hereMount()
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	seen := map[string]bool{}
	for _, m := range mounts {
		if seen[m.Target] {
			return nil, &flagError{"two mounts on " + quote(m.Target) + ": give one"}
		}
		seen[m.Target] = true
	}
	return mounts, nil
}

func checkDriver(flag, driver string) error {
	if driver == "" || driver == "local" {
		return nil
	}
	return refused(flag+" "+quote(driver), "local is the only driver of volumes")
}

func hereMount() (api.Mount, error) {
	dir, err := os.Getwd()
	if err != nil {
		return api.Mount{}, &flagError{"--here: the working directory is gone: " + err.Error()}
	}
	if dir == "/" {
		return api.Mount{}, &flagError{"--here: the working directory is /: change to the directory that the program needs"}
	}
	return settleMount("--here", dir, api.Mount{Type: api.MountBind, Source: dir, Target: dir}, nil)
}

// parseVolume reads -v [SOURCE:]TARGET[:OPTIONS].
func parseVolume(text string) (api.Mount, error) {
	const flag = "--volume"
	parts := strings.Split(text, ":")
	m := api.Mount{Type: api.MountVolume, Target: parts[len(parts)-1]}
	var err error
	switch len(parts) {
	case 1:
	case 2, 3:
		m.Target = parts[1]
		if m.Source, err = volumeSource(parts[0]); err != nil {
			return m, invalid(flag, text, err.Error())
		}
		if path.IsAbs(m.Source) {
			m.Type = api.MountBind
		}
	default:
		return m, invalid(flag, text, "expected [SOURCE:]TARGET[:OPTIONS]; for a path with a colon use --mount")
	}
	var options []string
	if len(parts) == 3 {
		options = strings.Split(parts[2], ",")
	}
	return settleMount(flag, text, m, options)
}

// volumeSource makes a path absolute. A bare word is the name of a volume.
func volumeSource(source string) (string, error) {
	switch {
	case source == "":
		return "", errors.New("the source is empty")
	case filepath.IsAbs(source):
		return filepath.Clean(source), nil
	case source == "." || source == ".." || strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../"):
		return filepath.Abs(source)
	case source == "~" || strings.HasPrefix(source, "~/"):
		return "", errors.New("the shell has not replaced ~: write $HOME")
	case strings.Contains(source, "/"):
		return "", errors.New("the source is a relative path: write ./" + source)
	}
	return source, checkVolumeName(source)
}

func checkVolumeName(name string) error {
	if isName(name) {
		return nil
	}
	return errors.New(quote(name) + " is no name for a volume: expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit")
}

// settleMount checks both ends and the options of a bind or a volume. A file is identified,
// so that a path that means another one to the supervisor (a mount that it does not
// see, a swapped symlink) is refused there.
func settleMount(flag, text string, m api.Mount, options []string) (api.Mount, error) {
	var err error
	if m.Target, err = mountTarget(m.Target); err != nil {
		return m, invalid(flag, text, err.Error())
	}
	if m.Type == api.MountVolume {
		err = setOptions(&m, options)
		if err != nil {
			err = invalid(flag, text, err.Error())
		}
		return m, err
	}
	if !utf8.ValidString(m.Source) {
		return m, invalid(flag, text, "the name of the source is not UTF-8: rename it")
	}
	var st unix.Stat_t
	if err := unix.Stat(m.Source, &st); err != nil {
		why := "source " + quote(m.Source) + ": " + err.Error()
		switch err {
		case unix.ENOENT:
			why += ": create it first, for example with mkdir"
		case unix.ENOTCONN:
			why += ": the FUSE server of it has died: unmount it with fusermount3 -u, and mount it again"
		}
		return m, invalid(flag, text, why)
	}
	m.Dev, m.Ino = st.Dev, st.Ino
	if err := setOptions(&m, options); err != nil {
		return m, invalid(flag, text, err.Error())
	}
	return m, nil
}

func mountTarget(target string) (string, error) {
	switch {
	case target == "":
		return "", errors.New("the target is empty")
	case !path.IsAbs(target):
		return "", errors.New("the target " + quote(target) + " is not an absolute path")
	case strings.ContainsRune(target, 0):
		return "", errors.New("the target contains a NUL byte")
	case !utf8.ValidString(target):
		return "", errors.New("the target is not UTF-8")
	case path.Clean(target) == "/":
		return "", errors.New("the target cannot be /")
	}
	return path.Clean(target), nil
}
