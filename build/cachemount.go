package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"golang.org/x/sys/unix"

	"sbx/build/files"
	"sbx/internal/dirs"
)

// mountLocks are the directories of RUN --mount=type=cache, and who uses them.
type mountLocks struct {
	dir  string
	mu   sync.Mutex
	uses map[string]int           // by name: -1 is one who wants to be alone
	free map[string]chan struct{} // closed when somebody has done
}

// take waits until a directory may be used, and says how to give it back.
func (l *mountLocks) take(ctx context.Context, name string, alone bool) (give func(), err error) {
	for {
		l.mu.Lock()
		if l.uses == nil {
			l.uses, l.free = map[string]int{}, map[string]chan struct{}{}
		}
		if n := l.uses[name]; n == 0 || n > 0 && !alone {
			l.hold(name, alone)
			l.mu.Unlock()
			return sync.OnceFunc(func() { l.give(name) }), nil
		}
		free := l.free[name]
		l.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// own takes the first directory of a name that nobody uses.
func (l *mountLocks) own(name string) (string, func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uses == nil {
		l.uses, l.free = map[string]int{}, map[string]chan struct{}{}
	}
	own := name
	for i := 1; l.uses[own] != 0; i++ {
		own = name + "." + strconv.Itoa(i)
	}
	l.hold(own, true)
	return own, sync.OnceFunc(func() { l.give(own) })
}

// busy says that somebody uses a directory.
func (l *mountLocks) busy(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.uses[name] != 0
}

func (l *mountLocks) hold(name string, alone bool) {
	if l.free[name] == nil {
		l.free[name] = make(chan struct{})
	}
	if alone {
		l.uses[name] = -1
	} else {
		l.uses[name]++
	}
}

func (l *mountLocks) give(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uses[name] < 0 {
		l.uses[name] = 0
	} else {
		l.uses[name]--
	}
	close(l.free[name])
	delete(l.free, name)
	if l.uses[name] == 0 {
		delete(l.uses, name)
		return
	}
	l.free[name] = make(chan struct{})
}

// cache gives a directory that stays from one build to the next.
func (m *mounting) cache(ctx context.Context, w *mount) error {
	locks := &m.j.b.mounts
	from := ""
	if w.from != nil {
		from = string(w.from.run.key) + w.source
	}
	name := list("cache", w.id, from)
	var give func()
	var err error
	switch w.sharing {
	case instructions.MountSharingPrivate:
		name, give = locks.own(name)
	default:
		give, err = locks.take(ctx, name, w.sharing == instructions.MountSharingLocked)
	}
	if err != nil {
		return err
	}
	m.undo = append(m.undo, func() error {
		give()
		return nil
	})
	at := filepath.Join(locks.dir, name)
	if err := m.makeCache(ctx, w, at); err != nil {
		return err
	}
	// When it was last used, for pruning.
	if err := unix.Utimes(filepath.Join(at, "id"), nil); err != nil {
		return &os.PathError{Op: "utimes", Path: at, Err: err}
	}
	inside := w.inside()
	if w.from != nil {
		inside = "" // it is what the cache began with
	}
	m.add(filepath.Join(at, "data"), inside, w)
	return nil
}

// makeCache makes the directory, if it is not there, with what it begins with. A half
// made one is never seen: it gets its name at last.
func (m *mounting) makeCache(ctx context.Context, w *mount, at string) error {
	if _, err := os.Lstat(at); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(at), newEntry)
	if err != nil {
		return dirs.DiskError("mkdir", filepath.Dir(at), err)
	}
	defer os.RemoveAll(fresh)
	if err := os.WriteFile(filepath.Join(fresh, "id"), []byte(w.id), 0o600); err != nil {
		return dirs.DiskError("write", fresh, err)
	}
	data := filepath.Join(fresh, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		return dirs.DiskError("mkdir", data, err)
	}
	if w.from != nil {
		if err := m.fill(ctx, w, data); err != nil {
			return err
		}
	}
	if w.owned || w.from == nil {
		if err := w.give(data); err != nil {
			return err
		}
	}
	// Somebody else may have been faster: what he has made is as good.
	if err := os.Rename(fresh, at); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make a cache: %w", err)
	}
	return nil
}

// fill copies what a cache begins with.
func (m *mounting) fill(ctx context.Context, w *mount, data string) error {
	root, done, err := m.j.rootOf(w.from)
	if err != nil {
		return err
	}
	defer done()
	to, err := os.Open(data)
	if err != nil {
		return err
	}
	defer to.Close()
	c := files.Copy{Items: []files.Item{{From: root, Path: w.source, Literal: true}}, Dest: "/", WorkDir: "/"}
	return c.Write(ctx, files.Target{Root: to}, nil)
}
