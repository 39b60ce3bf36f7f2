package confined

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/landlock"
)

// grant is what the program may do with a path and all below it.
type grant struct {
	path   string
	rights uint64
}

// devices are those that every program may use. More of /dev would be the user's own
// terminals.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// view is what the host's own image shows: all but the hidden directories, to read.
// A directory with a hidden one in it is opened up; its own list of names stays hidden
// with that, as a rule for a directory is one for all below it.
func view(hidden []string) []grant {
	hidden = append(resolved(hidden), "/dev")
	grants := shown("/", hidden)
	for _, device := range devices {
		grants = append(grants, grant{device, landlock.Device})
	}
	return grants
}

// resolved adds where the paths lead: a rule is about the directory itself, by
// whatever name.
func resolved(paths []string) []string {
	all := slices.Clone(paths)
	for _, p := range paths {
		if real, err := filepath.EvalSymlinks(p); err == nil && real != p {
			all = append(all, real)
		}
	}
	return all
}

func shown(dir string, hidden []string) []grant {
	// What cannot be listed is not shown.
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var grants []grant
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		inside := slices.ContainsFunc(hidden, func(h string) bool { return below(h, path) })
		switch {
		case slices.Contains(hidden, path), e.Type()&os.ModeSymlink != 0:
			// What a link leads to is shown where it is.
		case inside:
			grants = append(grants, shown(path, hidden)...)
		default:
			grants = append(grants, grant{path, landlock.Read})
		}
	}
	return grants
}

// resolver are files that name servers are found by, often links into /run.
var resolver = []string{"/etc/resolv.conf", "/etc/hosts"}

// resolverFiles shows a program with network where these links lead.
func resolverFiles() []grant {
	var grants []grant
	for _, path := range resolver {
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
			grants = append(grants, grant{real, landlock.Read})
		}
	}
	return grants
}

// ruleset allows what the grants say. A path that has gone meanwhile, or cannot be
// reached, is not shown; one that the user has named must be there, and be what the
// command line saw.
func ruleset(version int, tcp bool, grants []grant, mounts []api.Mount) (*landlock.Ruleset, []grant, error) {
	rules, err := landlock.New(version, tcp)
	if err != nil {
		return nil, nil, api.Wrap("make a Landlock rule set", "", err)
	}
	for _, g := range grants {
		f, err := openPath(g.path)
		if err != nil {
			continue
		}
		err = rules.Allow(f, g.rights)
		f.Close()
		if err != nil {
			rules.Close()
			return nil, nil, api.Wrap("allow", g.path, err)
		}
	}
	var writable []grant
	for _, m := range mounts {
		g, err := allowMount(rules, m)
		if err != nil {
			rules.Close()
			return nil, nil, err
		}
		if g.rights == landlock.Write {
			writable = append(writable, g)
		}
	}
	return rules, writable, nil
}

// allowMount gives the grant by its real path.
func allowMount(rules *landlock.Ruleset, m api.Mount) (grant, error) {
	g := grant{m.Source, landlock.Write}
	if m.ReadOnly {
		g.rights = landlock.Read
	}
	f, err := openPath(m.Source)
	if err != nil {
		return g, api.Wrap("bind", m.Source, errors.Unwrap(err))
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return g, api.Wrap("stat", m.Source, err)
	}
	if st.Dev != m.Dev || st.Ino != m.Ino {
		return g, api.Errorf("bind", m.Source, "it is another file than a moment ago").WithHint("run it again when nobody changes the path")
	}
	if g.path, err = realPath(int(f.Fd())); err != nil {
		return g, api.Wrap("bind", m.Source, err)
	}
	if err := rules.Allow(f, g.rights); err != nil {
		return g, api.Wrap("bind", m.Source, err)
	}
	return g, nil
}

func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
