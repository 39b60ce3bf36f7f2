// Package delegate gets a cgroup that the user may divide: from the user's service
// manager (systemd), with one call over D-Bus, or the one that sbx was started in,
// where that is the user's already, as in a container or a step of Slurm.
//
// It is for the process that everything of sbx descends from, in the host's
// namespaces.
package delegate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sbx/api"
	"sbx/cgroup"
	"sbx/internal/remedy"
)

// How long the service manager may take. One that hangs does not answer at all, and
// a start without limits is better than none. One that answers may be slow, as after
// a boot.
const (
	answerPatience = 3 * time.Second
	jobPatience    = 8 * time.Second
)

// Obtain finds a home for the groups of sandboxes, moves this process into its leaf
// and records it in the runtime directory run. That there is none is no error:
// Home.Lack says why.
func Obtain(ctx context.Context, run string) (cgroup.Home, error) {
	h := obtain(ctx)
	return h, h.Record(run)
}

// Rejoin is Obtain where sandboxes of an earlier process live: their home stays in
// use, if it is still there.
func Rejoin(ctx context.Context, run string) (cgroup.Home, error) {
	old, err := cgroup.ReadHome(run)
	if err != nil || !old.Exists() {
		return Obtain(ctx, run)
	}
	t, err := findTree()
	if err == nil {
		err = rejoin(ctx, old)
	}
	var h cgroup.Home
	if err == nil {
		h = t.divide(old.Driver, old.Unit, old.Path)
	} else {
		h = obtain(ctx)
		h.Apart = oneLine(err)
	}
	return h, h.Record(run)
}

// rejoin moves this process to the leaf of a home.
func rejoin(ctx context.Context, old cgroup.Home) error {
	leaf := filepath.Join(old.Path, cgroup.Leaf)
	if _, err := os.Stat(leaf); err != nil {
		return err
	}
	if old.Driver == cgroup.Writable {
		return join(leaf)
	}
	err := ask(ctx, func(ctx context.Context, m *manager) error { return m.attach(ctx, old.Unit, cgroup.Leaf) })
	if err != nil {
		return err
	}
	t, err := findTree()
	if err != nil {
		return err
	}
	if t.own != leaf {
		return fmt.Errorf("the service manager has moved this process to %s, not %s", t.own, leaf)
	}
	return nil
}

func obtain(ctx context.Context) cgroup.Home {
	t, err := findTree()
	if err != nil {
		return t.none(err)
	}
	unit := unitName()
	err = ask(ctx, func(ctx context.Context, m *manager) error { return m.startScope(ctx, unit) })
	if errors.Is(err, errNoManager) {
		if path, ok := t.divisible(); ok {
			return t.divide(cgroup.Writable, "", path)
		}
		return t.none(err)
	}
	if err != nil {
		return t.none(err)
	}
	if t, err = findTree(); err != nil {
		return t.none(err)
	}
	if filepath.Base(t.own) != unit {
		return t.none(&lack{"the service manager has made " + unit + ", but this process is in " + t.own, api.Remedy{}})
	}
	return t.divide(cgroup.Systemd, unit, t.own)
}

func unitName() string {
	var random [4]byte
	rand.Read(random[:])
	return "sbx-" + hex.EncodeToString(random[:]) + ".scope"
}

// lack is an error with a remedy.
type lack cgroup.Lack

func (l *lack) Error() string { return l.Why }

// none is what there is instead of a home.
func (t tree) none(err error) cgroup.Home {
	h := cgroup.Home{Driver: cgroup.None, Version: t.version, Lack: cgroup.Lack{Why: oneLine(err)}}
	var l *lack
	switch {
	case errors.As(err, &l):
		h.Remedy = l.Remedy
	case errors.Is(err, errNoManager):
		h.Lack = t.noManager()
	case errors.Is(err, errHangs):
		h.Text = "see systemctl --user status; sbx looks again at its next start"
	}
	return h
}

// oneLine is an error without control characters: some of it is the service
// manager's words.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}

// noManager says how a user gets a service manager, or a cgroup without one.
func (t tree) noManager() cgroup.Lack {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return cgroup.Lack{
			Why:    "there is no systemd, and " + t.own + " is not yours to divide",
			Remedy: api.Remedy{Text: "have the administrator give you a cgroup: one whose directory, cgroup.procs and cgroup.subtree_control you own, and start sbx in it"},
		}
	}
	return cgroup.Lack{
		Why:    fmt.Sprintf("your service manager does not run: there is no /run/user/%d/bus", os.Getuid()),
		Remedy: remedy.ServiceManager(userName()),
	}
}

func userName() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return fmt.Sprint(os.Getuid())
}

// Try finds the home that Obtain would get, by getting it for a while: it is for a
// process that ends soon.
func Try(ctx context.Context) cgroup.Home { return obtain(ctx) }
