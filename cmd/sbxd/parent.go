package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	kit "github.com/rootless-containers/rootlesskit/v3/pkg/parent"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/cgroup"
	"sbx/cgroup/delegate"
	"sbx/doctor"
	"sbx/internal/dirs"
	"sbx/sandbox"
	"sbx/sandbox/keeper"
	"sbx/slirp"
	"sbx/slirp/ports"
	"sbx/userns"
)

// propagation of mounts: what the host mounts shows in the namespace (a stick, a
// network file system below the home directory), never the other way round.
const propagation = "rslave"

// parent stays in the host's namespaces. It makes those of the supervisor, or
// finds the ones that sandboxes still live in, starts the keeper there, and
// lives until that ends.
func parent() error {
	d, err := dirs.Find()
	if err != nil {
		return err
	}
	if err := doctor.LeaveRoot(d); err != nil {
		return err
	}
	if err := detach(d); err != nil {
		return err
	}
	if err := takeTurn(d); errors.Is(err, errServed) {
		return keeper.Ready()
	} else if err != nil {
		return err
	}
	self, err := linkKeeper(d)
	if err != nil {
		return err
	}
	if d, err = settle(context.Background(), d); err != nil {
		return err
	}
	if err := setEnviron(d, self); err != nil {
		return err
	}
	host := userns.ThisHost()
	source, reason := userns.Plan(host)
	if reason != nil {
		fmt.Fprintln(os.Stderr, "sbxd: only the user's own id is mapped:", reason)
		if err := os.Setenv(sandbox.SingleEnv, reason.Error()); err != nil {
			return err
		}
	}
	stop, err := ports.AnswerHolders(d.Run)
	if err != nil {
		return api.Wrap("start the supervisor", "", err)
	}
	return errors.Join(inhabit(d, self, host, source), stop())
}

// inhabit lives as long as the keeper.
func inhabit(d dirs.Dirs, self string, host userns.Host, source userns.Source) error {
	out := slirp.New(d.Run, os.Stderr)
	// Each survivor that ends meanwhile is one less.
	for {
		left, err := findSurvivor(d.Run)
		if err != nil {
			return err
		}
		if left == nil {
			break
		}
		if err := obtain(d, delegate.Rejoin); err != nil {
			return errors.Join(err, left.pidfd.Close())
		}
		if err := userns.Settle(); err != nil {
			return errors.Join(err, left.pidfd.Close())
		}
		err = rejoin(d, left, out)
		if err != errLeft {
			return errors.Join(err, left.pidfd.Close())
		}
		if err := left.pidfd.Close(); err != nil {
			return err
		}
	}
	if host.NoNewPrivileges {
		// Rootlesskit's child would ask its parent for ids again and again: it gets
		// its capabilities by execve(2), which gives none any more.
		return userns.NoNewPrivileges()
	}
	if err := obtain(d, delegate.Obtain); err != nil {
		return err
	}
	return create(d, self, source, out)
}

// obtain puts this process, and with it what it starts, into a cgroup of its own.
// Where there is none sandboxes run without limits, and the supervisor says why when
// somebody asks for one.
func obtain(d dirs.Dirs, way func(context.Context, string) (cgroup.Home, error)) error {
	home, err := way(context.Background(), d.Run)
	if err != nil {
		return err
	}
	if !home.Exists() {
		fmt.Fprintln(os.Stderr, "sbxd:", home.NoGroup("limit sandboxes"))
	}
	if home.Apart != "" {
		fmt.Fprintln(os.Stderr, "sbxd: the sandboxes that run stay in the cgroup of their start:", home.Apart)
	}
	return nil
}

// detach makes this a process that nothing connects with who has started it,
// but for standard output.
func detach(d dirs.Dirs) error {
	if err := d.Make(); err != nil {
		return err
	}
	if err := openLog(d.Log()); err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	if err := unix.Dup2(int(null.Fd()), unix.Stdin); err != nil {
		return os.NewSyscallError("dup2", err)
	}
	// EPERM: it leads its session already.
	if _, err := unix.Setsid(); err != nil && !errors.Is(err, unix.EPERM) {
		return os.NewSyscallError("setsid", err)
	}
	return nil
}

// create makes new namespaces, by way of rootlesskit.
func create(d dirs.Dirs, self string, source userns.Source, out *slirp.Driver) error {
	logrus.SetOutput(os.Stderr)
	logrus.SetLevel(logrus.WarnLevel)
	ids := kit.SubidSourceStatic
	switch source {
	case userns.Dynamic:
		ids = kit.SubidSourceDynamic
	case userns.Single, userns.Root:
		// The stand-in for getsubids answers the dynamic query.
		ids = kit.SubidSourceDynamic
		if err := useHelpers(d, self); err != nil {
			return err
		}
	}
	if err := d.CheckRun(); err != nil {
		return err
	}
	state := stateDir(d)
	if err := kit.InitStateDir(state); err != nil {
		return api.Wrap("prepare", state, err)
	}
	// Rootlesskit executes this binary again with these arguments; what makes it
	// the child is pipeEnv. The word is for the reader of ps.
	os.Args = []string{"sbxd", "child"}
	err := runKit(kit.Opt{
		PipeFDEnvKey:             pipeEnv,
		StateDirEnvKey:           stateEnv,
		ChildUseActivationEnvKey: activationEnv,
		StateDir:                 state,
		NetworkDriver:            settled{out},
		DetachNetNS:              true,
		Propagation:              propagation,
		SubidSource:              ids,
	})
	if errors.Is(err, errStuck) {
		// What Parent would have done on its way out.
		err = errors.Join(err, out.Stop(), os.RemoveAll(state))
	}
	if err != nil {
		return userns.Diagnose(err)
	}
	return nil
}

var errStuck = errors.New("the child ended during the start")

// runKit lives as long as the namespaces. After errStuck the process must end.
func runKit(opt kit.Opt) error {
	dead := stuck()
	ended := make(chan error, 1)
	go func() {
		// The child is killed when the thread that has started it ends.
		runtime.LockOSThread()
		ended <- kit.Parent(opt)
	}()
	select {
	case err := <-ended:
		return err
	case <-dead:
		return errStuck
	}
}
