package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/binfmt"
	"sbx/cgroup/delegate"
	"sbx/fuse-overlay"
	"sbx/image"
	"sbx/internal/sys"
	"sbx/seccomp"
	"sbx/slirp"
	"sbx/userns"
)

// Role is the word for the processes that Play is for.
const Role = "probe"

// What comes after it.
const (
	roleSpaces = "spaces" // waits for its id maps, and becomes:
	roleInside = "inside" // tries what a supervisor does, in the directory that is named, and the runtime directory
	roleNested = "nested" // the namespaces of a sandbox, in those of the supervisor
	roleCgroup = "cgroup"

	roleStoreSpaces = "store-spaces" // waits for its id maps, and becomes:
	roleStore       = "store"        // tries whether images can be kept in a directory
)

// Play is a process of Examine's. Its result is JSON on standard output.
func Play(args []string) error {
	switch {
	case len(args) == 2 && args[0] == roleStoreSpaces:
		return userns.Await([]string{"sbxd", Role, roleStore, args[1]})
	case len(args) == 2 && args[0] == roleStore:
		return tryStore(args[1])
	case len(args) == 3 && args[0] == roleSpaces:
		return userns.Await([]string{"sbxd", Role, roleInside, args[1], args[2]})
	case len(args) == 3 && args[0] == roleInside:
		return json.NewEncoder(os.Stdout).Encode(inside(args[1], args[2]))
	case len(args) == 1 && args[0] == roleNested:
		return nested()
	case len(args) == 1 && args[0] == roleCgroup:
		return json.NewEncoder(os.Stdout).Encode(delegate.Try(context.Background()))
	}
	return errors.New("sbxd probe is started by sbx doctor")
}

// inside runs as uid 0 of the namespaces. One finding on the namespaces themselves is
// what there is when they are of no use.
func inside(dir, run string) []api.Finding {
	if err := settle(); err != nil {
		return []api.Finding{userns.Restricted(err)}
	}
	findings := append([]api.Finding{nestedFinding()}, settings()...)
	if dir != "" {
		findings = append(findings, fuseoverlay.Check(dir)...)
		findings = append(findings, image.Check(dir))
		findings = append(findings, wayOut(run)...)
	}
	return append(findings, seccomp.Check(), binfmt.Check(context.Background()))
}

// settle takes the mounts as the supervisor does, and makes one. AppArmor, as Ubuntu
// has it, gives a namespace to everybody, and to most without the capabilities.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return os.NewSyscallError("mount --make-rslave", err)
	}
	fd, err := sys.NewMount("tmpfs", sys.NODEV)
	if err != nil {
		return os.NewSyscallError("mount tmpfs", err)
	}
	return unix.Close(fd)
}

// wayOut tries the network in the runtime directory, where its helpers have their files:
// their AppArmor profiles do not let them write everywhere.
func wayOut(run string) []api.Finding {
	place := filepath.Join(run, "doctor")
	netns := filepath.Join(place, "netns")
	err := os.MkdirAll(place, 0o700)
	if err == nil {
		err = os.WriteFile(netns, nil, 0o600)
	}
	if err == nil {
		// It leaves its thread in the new namespace.
		made := make(chan error)
		go func() {
			made <- userns.Unshare([]string{"unshare", "-n", "mount", "--bind", "/proc/self/ns/net", netns})
		}()
		err = <-made
	}
	if err != nil {
		return []api.Finding{api.Lacking(api.Red, "network namespace", err, "no sandbox can be started but with --network host", api.Remedy{})}
	}
	findings := slirp.Check(place, netns)
	err = os.NewSyscallError("umount", unix.Unmount(netns, unix.MNT_DETACH))
	if err == nil {
		err = os.RemoveAll(place)
	}
	if err != nil {
		findings = append(findings, api.Lacking(api.Yellow, "network namespace", err, "", api.Remedy{}))
	}
	return findings
}
