package main

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// mountFlags say what of the host is seen in the sandbox.
type mountFlags struct {
	volumes, mounts, tmpfs []string
	here                   bool
}

func (f *mountFlags) add(fs *pflag.FlagSet) {
	fs.VarP((*list)(&f.volumes), "volume", "v", "`SOURCE:TARGET[:ro]` bind a file or directory of the host")
	fs.Var((*list)(&f.mounts), "mount", "`type=bind|tmpfs,source=...,target=...[,readonly]`")
	fs.Var((*list)(&f.tmpfs), "tmpfs", "`TARGET[:OPTIONS]` a file system in memory, options as in tmpfs(5)")
	fs.BoolVar(&f.here, "here", false, "short for -v $PWD:$PWD -w $PWD")
}

// list gives the mounts in the order -v, --mount, --tmpfs, --here.
func (f *mountFlags) list() ([]api.Mount, error) {
	var mounts []api.Mount
	for _, kind := range []struct {
		values []string
		parse  func(string) (api.Mount, error)
	}{{f.volumes, parseVolume}, {f.mounts, parseMount}, {f.tmpfs, parseTmpfs}} {
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

func hereMount() (api.Mount, error) {
	dir, err := os.Getwd()
	if err != nil {
		return api.Mount{}, &flagError{"--here: the working directory is gone: " + err.Error()}
	}
	if dir == "/" {
		return api.Mount{}, &flagError{"--here: the working directory is /: change to the directory that the program needs"}
	}
	return bind("--here", dir, dir, dir, false)
}

// parseVolume reads -v SOURCE:TARGET[:OPTIONS].
func parseVolume(text string) (api.Mount, error) {
	const flag = "--volume"
	parts := strings.Split(text, ":")
	switch {
	case len(parts) == 1:
		return api.Mount{}, invalid(flag, text, "sbx has no anonymous volumes yet: give SOURCE:TARGET")
	case len(parts) > 3:
		return api.Mount{}, invalid(flag, text, "expected SOURCE:TARGET[:ro|rw]; for a path with a colon use --mount")
	}
	source, err := volumeSource(parts[0])
	if err != nil {
		return api.Mount{}, invalid(flag, text, err.Error())
	}
	readOnly := false
	if len(parts) == 3 {
		for _, opt := range strings.Split(parts[2], ",") {
			switch opt {
			case "ro":
				readOnly = true
			case "rw":
				readOnly = false
			default:
				return api.Mount{}, invalid(flag, text, volumeOption(opt))
			}
		}
	}
	return bind(flag, text, source, parts[1], readOnly)
}

// volumeSource makes a path absolute. A bare word would be the name of a volume.
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
	return "", errors.New("sbx has no named volumes yet: for the directory " + source + " write ./" + source)
}

func volumeOption(opt string) string {
	switch opt {
	case "z", "Z":
		return "the option " + opt + " relabels the host's files, which sbx does not do"
	case "U":
		return "the option U changes the owner of the host's files, which sbx does not do"
	case "O":
		return "sbx has no overlay mounts of a source yet"
	case "shared", "rshared", "slave", "rslave", "private", "rprivate":
		return "mount propagation (" + opt + ") is not supported yet: a mount made on the host later is not seen"
	case "nocopy", "copy", "volume-nocopy":
		return "the option " + opt + " is for volumes, which sbx does not have yet"
	case "cached", "delegated", "consistent":
		return "the option " + opt + " has no meaning on Linux"
	}
	return "unknown option " + quote(opt) + ": expected ro or rw"
}

// bind checks both ends. The file is identified, so that a path that means
// another one to the supervisor (a mount that it does not see, a swapped
// symlink) is refused there.
func bind(flag, text, source, target string, readOnly bool) (api.Mount, error) {
	target, err := mountTarget(target)
	if err != nil {
		return api.Mount{}, invalid(flag, text, err.Error())
	}
	var st unix.Stat_t
	if err := unix.Stat(source, &st); err != nil {
		why := "source " + quote(source) + ": " + err.Error()
		if errors.Is(err, unix.ENOENT) {
			why += ": create it first, for example with mkdir"
		}
		return api.Mount{}, invalid(flag, text, why)
	}
	return api.Mount{Type: "bind", Source: source, Target: target, ReadOnly: readOnly, Dev: st.Dev, Ino: st.Ino}, nil
}

func mountTarget(target string) (string, error) {
	switch {
	case target == "":
		return "", errors.New("the target is empty")
	case !path.IsAbs(target):
		return "", errors.New("the target " + quote(target) + " is not an absolute path")
	case strings.ContainsRune(target, 0):
		return "", errors.New("the target contains a NUL byte")
	case path.Clean(target) == "/":
		return "", errors.New("the target cannot be /")
	}
	return path.Clean(target), nil
}
