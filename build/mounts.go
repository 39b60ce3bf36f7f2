package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/build/files"
	"sbx/internal/dirs"
	"sbx/internal/sys"
	"sbx/sandbox"
	"sbx/view"
)

// mounting is what a RUN finds mounted beside its files.
type mounting struct {
	j      *job
	step   *step
	dir    *stepDir
	run    *sandbox.Step
	layers []*layer
	undo   []func() error
	count  int
	tmpfs  string // where secrets and sockets are; empty: there are none yet
	stubs  []stub
	agents int
}

// all makes them ready, each in the directory of the step or in that of the cache.
func (m *mounting) all(ctx context.Context) error {
	mounts := m.step.run.mounts
	for i := range mounts {
		if err := m.one(ctx, &mounts[i]); err != nil {
			return parser.WithLocation(err, mounts[i].at)
		}
	}
	if m.step.run.script == nil && len(m.run.Mounts) == 0 {
		return nil
	}
	return m.findStubs()
}

func (m *mounting) one(ctx context.Context, w *mount) error {
	switch w.kind {
	case instructions.MountTypeBind:
		return m.bind(ctx, w)
	case instructions.MountTypeCache:
		return m.cache(ctx, w)
	case instructions.MountTypeTmpfs:
		options := "mode=1777"
		if w.size > 0 {
			options += ",size=" + strconv.FormatInt(w.size, 10)
		}
		m.run.Mounts = append(m.run.Mounts, api.Mount{Type: api.MountTmpfs, Target: w.target, ReadOnly: w.readOnly, Options: options})
		return nil
	case instructions.MountTypeSecret:
		return m.secret(w)
	case instructions.MountTypeSSH:
		return m.agent(w)
	}
	return api.Errorf("build", "", "--mount=type=%s is not known", w.kind)
}

// close takes down what was mounted, the last one first.
func (m *mounting) close() {
	for _, undo := range slices.Backward(m.undo) {
		if err := undo(); err != nil {
			m.j.c.Log.Warn("after a step", "error", err)
		}
	}
	m.undo = nil
}

// place makes a new directory to mount something at.
func (m *mounting) place() (name, at string, err error) {
	m.count++
	name = fmt.Sprintf("mount%d", m.count)
	at = filepath.Join(m.dir.path, name)
	if err := os.Mkdir(at, 0o755); err != nil {
		return "", "", dirs.DiskError("mkdir", at, err)
	}
	return name, at, nil
}

// mounted has a mount taken down when the step is over. The step must not get a sandbox
// that was prepared before.
func (m *mounting) mounted(at string) {
	m.run.Fresh = true
	m.undo = append(m.undo, func() error {
		if err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return &os.PathError{Op: "unmount", Path: at, Err: err}
		}
		return nil
	})
}

// add has something of the host seen in the sandbox. The path in it is resolved there,
// within it.
func (m *mounting) add(source, sub string, w *mount) {
	m.run.Mounts = append(m.run.Mounts, api.Mount{Type: api.MountBind, Source: source, Subpath: sub, Target: w.target, ReadOnly: w.readOnly})
}

// bind shows a directory of a stage, of an image or of a context. What is written to
// it is lost.
func (m *mounting) bind(ctx context.Context, w *mount) error {
	lower, dir, err := m.source(ctx, w)
	if err != nil {
		return err
	}
	if dir != nil {
		dir.Subpath, dir.Target, dir.ReadOnly = w.inside(), w.target, true
		m.run.Mounts = append(m.run.Mounts, *dir)
		return nil
	}
	root := sandbox.StepRoot{Lower: lower}
	if !w.readOnly {
		over, err := m.j.newStepDir()
		if err != nil {
			return err
		}
		root.Upper, root.Work = over.name+"/u", over.name+"/work"
	}
	_, at, err := m.place()
	if err != nil {
		return err
	}
	if err := m.j.c.MountLayers(&root, at); err != nil {
		return err
	}
	m.mounted(at)
	m.add(at, w.inside(), w)
	return nil
}

// source is where the files of a bind are: layers, or for the context as it is, to be
// read only, a directory of the host.
func (m *mounting) source(ctx context.Context, w *mount) (lower []string, dir *api.Mount, err error) {
	isContext := w.from == nil || w.from.foreign && w.from.context != nil && w.from.image == nil && w.from.base == nil
	if !isContext {
		return links(w.from.run.layers), nil, nil
	}
	root, done, err := m.j.rootOf(w.from)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	if root.Ignore == nil && w.readOnly {
		// The name of the directory that is open. Who binds it compares what is there.
		path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", root.Dir.Fd()))
		if err != nil {
			return nil, nil, err
		}
		var st, now unix.Stat_t
		if err := unix.Fstat(int(root.Dir.Fd()), &st); err != nil {
			return nil, nil, os.NewSyscallError("fstat", err)
		}
		if unix.Stat(path, &now) == nil && now.Ino == st.Ino && now.Dev == st.Dev {
			return nil, &api.Mount{Type: api.MountBind, Source: path, Dev: uint64(st.Dev), Ino: st.Ino}, nil
		}
	}
	t, err := m.j.copied(ctx, w.from, root)
	if err != nil {
		return nil, nil, err
	}
	return []string{t}, nil, nil
}

// inside is the path within what is mounted; empty: all of it.
func (w *mount) inside() string {
	if w.source == "/" {
		return ""
	}
	return w.source
}

// copied is a directory with what a build sees of a context, made once in a build. Its
// name is relative to storage/overlay/l.
func (j *job) copied(ctx context.Context, from *stage, root *files.Root) (string, error) {
	name := "copied"
	if from != nil {
		name += " " + from.context.Name
	}
	t, err := j.shared(name, func(t *tree) {
		var d *stepDir
		var to *files.Target
		var done func()
		if d, to, done, t.err = j.writable(nil, false); t.err != nil {
			return
		}
		c := files.Copy{Items: []files.Item{{From: root, Path: "/", Literal: true}}, Dest: "/", WorkDir: "/"}
		t.err = c.Write(ctx, *to, nil)
		done()
		t.link = d.name + "/u"
	})
	if err != nil {
		return "", err
	}
	return t.link, nil
}

// secretDir begins the names of the directories of secrets, in the run directory: a
// sandbox that was given the user's home does not see them there.
const secretDir = "secrets-"

// secrets is a tmpfs: what is in it never comes to a disk.
func (m *mounting) secrets() (string, error) {
	if m.tmpfs != "" {
		return m.tmpfs, nil
	}
	at, err := os.MkdirTemp(m.j.b.run, secretDir)
	if err != nil {
		return "", dirs.DiskError("mkdir", m.j.b.run, err)
	}
	m.undo = append(m.undo, func() error { return os.Remove(at) })
	mount, err := sys.NewMount("tmpfs", sys.NOSUID|sys.NODEV|sys.NOEXEC, [2]string{"mode", "0755"}, [2]string{"size", "16m"})
	if err != nil {
		return "", err
	}
	defer unix.Close(mount)
	if err := sys.AttachAt(mount, unix.AT_FDCWD, at); err != nil {
		return "", err
	}
	m.mounted(at)
	m.tmpfs = at
	return at, nil
}

// mostSecret bounds a secret, in bytes, as BuildKit does.
const mostSecret = 500 << 10

// secret shows a secret as a file, as a variable, or both.
func (m *mounting) secret(w *mount) error {
	f := m.j.secrets[w.id]
	if f == nil {
		if w.required {
			return api.Errorf("build", "", "secret %s: not found", view.Safe(w.id)).WithHint("sbx build --secret id=%s,src=FILE", view.Safe(w.id))
		}
		return nil
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, mostSecret+1))
	if err != nil {
		return api.Wrap("read secret", view.Safe(w.id), errors.Unwrap(err))
	}
	if len(data) > mostSecret {
		return api.Errorf("build", "", "secret %s: more than %d KiB", view.Safe(w.id), mostSecret>>10)
	}
	if w.env != "" {
		if bytes.IndexByte(data, 0) >= 0 {
			return api.Errorf("build", "", "secret %s: a variable cannot hold a zero byte", view.Safe(w.id))
		}
		m.run.Env = withEnv(slices.Clone(m.run.Env), w.env, string(data))
	}
	if w.target == "" {
		return nil
	}
	dir, err := m.secrets()
	if err != nil {
		return err
	}
	m.count++
	path := filepath.Join(dir, strconv.Itoa(m.count))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	if err := w.give(path); err != nil {
		return err
	}
	bind := *w
	bind.readOnly = true
	m.add(path, "", &bind)
	return nil
}

// give sets owner and mode. The owner first: that takes set-id bits away.
func (w *mount) give(path string) error {
	if err := os.Lchown(path, w.uid, w.gid); err != nil {
		return err
	}
	if err := unix.Chmod(path, w.mode); err != nil {
		return &os.PathError{Op: "chmod", Path: path, Err: err}
	}
	return nil
}

// agent gives a socket that leads to keys of the user's.
func (m *mounting) agent(w *mount) error {
	keys := m.j.agents[w.id]
	if keys == nil {
		if w.required {
			return api.Errorf("build", "", "no SSH agent has the id %s", view.Safe(w.id)).WithHint("sbx build --ssh %s", view.Safe(w.id))
		}
		return nil
	}
	dir, err := m.secrets()
	if err != nil {
		return err
	}
	if w.target == "" {
		w.target = fmt.Sprintf("/run/buildkit/ssh_agent.%d", m.agents)
	}
	if m.agents == 0 {
		m.run.Env = withEnv(slices.Clone(m.run.Env), "SSH_AUTH_SOCK", w.target)
	}
	m.agents++
	m.count++
	at := filepath.Join(dir, strconv.Itoa(m.count))
	stop, err := keys.listen(at)
	if err != nil {
		return err
	}
	m.undo = append(m.undo, stop)
	if err := w.give(at); err != nil {
		return err
	}
	m.add(at, "", w)
	return nil
}
