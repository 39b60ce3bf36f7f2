package cgroup

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Drivers: where a Home comes from.
const (
	Systemd  = "systemd"  // a scope of the user's service manager
	Writable = "writable" // the cgroup that sbx was started in, which the user may divide
	None     = "none"     // sandboxes run unlimited
)

// Leaf is the child of a home that has the processes of sbx itself.
const Leaf = "sbx"

// Wanted are the controllers that limits are made with.
var Wanted = []string{"cpu", "cpuset", "io", "memory", "pids"}

// Home is the cgroup in which those of the sandboxes are made.
type Home struct {
	Driver      string          `json:"driver"`
	Version     string          `json:"version,omitempty"`     // of the host's cgroups: "2", "1", "hybrid"
	Path        string          `json:"path,omitempty"`        // directory
	Unit        string          `json:"unit,omitempty"`        // systemd's name for it
	Controllers []string        `json:"controllers,omitempty"` // of Wanted: those that groups have
	Missing     map[string]Lack `json:"missing,omitempty"`     // of Wanted: the others
	Lack                        // why there is none, if Driver is None
	// Apart is why sandboxes of an earlier sbxd that still run are not in this home.
	Apart string `json:"apart,omitempty"`
	// Guarded says that a sandbox that can write its own cgroup cannot write its
	// limits: mount option nsdelegate, cgroups(7).
	Guarded bool `json:"guarded,omitempty"`
}

// Lack is something that is not there.
type Lack struct {
	Why string `json:"why,omitempty"`
	api.Remedy
}

// ReadHome returns what Record has written to the runtime directory run.
func ReadHome(run string) (Home, error) {
	h := Home{Driver: None, Lack: Lack{Why: "sbxd has not looked for a cgroup yet"}}
	text, err := os.ReadFile(record(run))
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	h = Home{}
	if err := json.Unmarshal(text, &h); err != nil {
		return Home{Driver: None}, &os.PathError{Op: "parse", Path: record(run), Err: err}
	}
	return h, nil
}

// Record writes h to the runtime directory run, for the supervisor.
func (h Home) Record(run string) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(run, ".cgroup-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), record(run))
}

func record(run string) string { return filepath.Join(run, "cgroup.json") }

// Exists says whether sandboxes get a group.
func (h Home) Exists() bool { return h.Path != "" }

// Lacks says whether groups have no such controller, as an error that names the
// remedy.
func (h Home) Lacks(op, controller string) error {
	switch {
	case slices.Contains(h.Controllers, controller):
		return nil
	case !h.Exists():
		return lacking(op, "there is no cgroup for sandboxes: ", h.Lack)
	}
	return lacking(op, "no "+controller+" controller: ", h.Missing[controller])
}

// NoGroup is the error of an operation that needs a cgroup, where there is none.
func (h Home) NoGroup(op string) error {
	return lacking(op, "there is no cgroup for sandboxes: ", h.Lack)
}

// Guards is the error of limits for a sandbox that may mount, where the kernel would
// let it write them: it can mount the file system of its cgroup.
func (h Home) Guards(op string) error {
	if h.Guarded || !h.Exists() {
		return nil
	}
	return lacking(op, "what it is limited by, a program with CAP_SYS_ADMIN could lift: ", Lack{
		Why:    "the host has mounted cgroup2 without nsdelegate",
		Remedy: api.Remedy{Text: "run it without that capability (and without --privileged) or without limits, or have the administrator run: mount -o remount,nsdelegate /sys/fs/cgroup"},
	})
}

func lacking(op, what string, l Lack) error {
	if l.Why == "" {
		l.Why = "it is not delegated to you"
	}
	e := api.Errorf(op, "", "%s%s", what, l.Why)
	if l.Text != "" {
		e.WithHint("%s", l.Text)
	}
	return e
}

// Make makes the group of a sandbox; id has twelve hexadecimal digits at least.
// parent is a path like "batch/night", or empty: see CheckParent. An empty group
// that is there already, left by a crash, is taken.
func (h Home) Make(parent, id string) (Group, error) {
	g := Group{Path: filepath.Join(h.Path, parent, id), home: h.Path}
	if !h.Exists() {
		return Group{}, h.NoGroup("make a cgroup")
	}
	if parent != "" {
		if err := CheckParent(parent); err != nil {
			return Group{}, err
		}
	}
	const tries = 10 // whoever removes the last group of a parent removes the parent
	err := error(unix.ENOENT)
	for i := 0; i < tries && err == unix.ENOENT; i++ {
		if err = h.makeParents(parent); err == nil {
			err = mkdir(g.Path)
		}
		if parent == "" {
			break
		}
	}
	if err == unix.EEXIST {
		if full, e := g.Populated(); e != nil || full {
			return Group{}, errors.Join(api.Errorf("make the cgroup", g.Path, "there is one, with processes in it"), e)
		}
		err = nil
	}
	if err != nil {
		return Group{}, h.explain("make the cgroup", g.Path, err)
	}
	return g, nil
}

func mkdir(path string) error { return unix.Mkdir(path, 0o755) }

// makeParents makes the groups above that of a sandbox, with all controllers for
// what is below.
func (h Home) makeParents(parent string) error {
	if parent == "" {
		return nil
	}
	dir := h.Path
	enable := "+" + strings.Join(h.Controllers, " +")
	for name := range strings.SplitSeq(parent, "/") {
		dir = filepath.Join(dir, name)
		err := mkdir(dir)
		if err != nil && err != unix.EEXIST {
			return err
		}
		if len(h.Controllers) > 0 {
			if err := write(dir, "cgroup.subtree_control", enable); err != nil {
				return err
			}
		}
	}
	return nil
}

// explain names the cause behind an error of making a group.
func (h Home) explain(op, path string, err error) error {
	e := api.Wrap(op, path, err)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return e.WithHint("the cgroup above it has been removed, as by a restart of the user's service manager; run sbx system stop, and start anew")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		return e.WithHint("the cgroup above it is no longer yours")
	case errors.Is(err, unix.EAGAIN):
		return e.WithHint("there are more cgroups than cgroup.max.descendants or cgroup.max.depth of one above allows")
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EOPNOTSUPP):
		return e.WithHint("a process is in a cgroup above it, where none may be")
	}
	return e
}

// CheckParent says whether a parent that a user names (--cgroup-parent) is one or
// more names with slashes between them that groups can have.
func CheckParent(parent string) error {
	for i, name := range strings.Split(parent, "/") {
		if !validName(name) || i == 0 && name == Leaf {
			return api.Errorf("use the cgroup parent", parent, "it is not a path of names").
				WithHint("names of letters, digits, - and _ with / between them, such as batch/night; it is made below the cgroup of sbx")
		}
	}
	return nil
}

// validName leaves out what the kernel's own files are called (cgroup.procs,
// memory.max: all have a dot), and what could be the group of a sandbox.
func validName(name string) bool {
	word := func(r rune) bool {
		return r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	hex := func(r rune) bool { return '0' <= r && r <= '9' || 'a' <= r && r <= 'f' }
	all := func(is func(rune) bool) bool {
		return strings.IndexFunc(name, func(r rune) bool { return !is(r) }) < 0
	}
	const idLength = 12 // the least digits of an id that anybody uses
	return name != "" && len(name) <= 64 && all(word) && !(len(name) >= idLength && all(hex))
}

// Group is the group at a path that Make once gave.
func (h Home) Group(path string) Group {
	g := Group{Path: path}
	if strings.HasPrefix(path, h.Path+"/") {
		g.home = h.Path
	}
	return g
}

// Sweep removes the groups without processes that keep does not want, by path.
// Those that are left are of crashes. Groups above others stay.
func (h Home) Sweep(keep func(path string) bool) error {
	if !h.Exists() {
		return nil
	}
	entries, err := os.ReadDir(h.Path)
	if err != nil {
		return api.Wrap("read the cgroup", h.Path, err)
	}
	var errs []error
	for _, entry := range entries {
		path := filepath.Join(h.Path, entry.Name())
		if entry.IsDir() && entry.Name() != Leaf {
			errs = append(errs, h.sweep(path, keep))
		}
	}
	return errors.Join(errs...)
}

func (h Home) sweep(path string, keep func(path string) bool) error {
	if keep(path) {
		return nil
	}
	if validName(filepath.Base(path)) { // a parent
		below := h
		below.Path = path
		if err := below.Sweep(keep); err != nil {
			return err
		}
		if err := unix.Rmdir(path); err != nil && err != unix.EBUSY && err != unix.ENOENT {
			return &os.PathError{Op: "rmdir", Path: path, Err: err}
		}
		return nil
	}
	g := h.Group(path)
	if full, err := g.Populated(); full || err != nil {
		return err
	}
	return g.Remove()
}
