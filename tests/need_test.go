package tests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sbx/tests/promised"

	"golang.org/x/sys/unix"
)

// probes say why a feature is missing on this machine, or nil.
var probes = map[string]func() error{
	"userns":      func() error { return output("unshare", "--user", "--map-root-user", "true") },
	"subids":      func() error { return output("unshare", "--user", "--map-root-user", "--map-auto", "true") },
	"overlay":     probeOverlay,
	"fuse":        func() error { return errors.Join(writable("/dev/fuse"), program("fuse-overlayfs")) },
	"bindfs":      func() error { return errors.Join(writable("/dev/fuse"), program("bindfs"), program("fusermount3")) },
	"landlock":    landlockThere,
	"pty":         func() error { return exists("/dev/ptmx") },
	"rootfs":      func() error { return archive("SBX_TEST_ROOTFS") },
	"busybox":     func() error { return archive("SBX_TEST_BUSYBOX") },
	"python":      func() error { return errors.Join(archive("SBX_TEST_PYTHON"), archive("SBX_TEST_WHEELS")) },
	"pasta":       probePasta,
	"slirp4netns": func() error { return errors.Join(program("slirp4netns"), writable("/dev/net/tun")) },
	"tmux":        func() error { return program("tmux") },
	"strace":      func() error { return output("strace", "-o", "/dev/null", "true") },
	"zsh":         func() error { return program("zsh") },
	"fish":        func() error { return program("fish") },
	"bzip2":       func() error { return program("bzip2") },
	"zstd":        func() error { return program("zstd") },
	"xz":          func() error { return program("xz") },
	"deb":         func() error { return errors.Join(program("dpkg-deb"), program("make"), exists("../Makefile")) },
	// All three: a registry that only sbx talks to shows little.
	"registry": func() error {
		return errors.Join(program("docker-registry"), program("skopeo"), program("podman"))
	},
	"aptmirror": func() error { return archive("SBX_TEST_DEBS") },
	"go":        func() error { return program("go") },
	// Podman's own containers, which take a cgroup hierarchy that not every machine gives.
	"podmanrun": probePodmanRun,
	"buildah":   func() error { return program("buildah") },
	"git":       func() error { return program("git") },
	"ssh": func() error {
		return errors.Join(program("ssh"), program("ssh-agent"), program("ssh-keygen"), program("ldd"))
	},
	"sshd":      func() error { return program("sshd") },
	"emulation": probeEmulation,
	// A systemd of the user's that answers on the session's D-Bus.
	"systemd": func() error {
		return output("busctl", "--user", "--quiet", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
			"org.freedesktop.DBus.Peer", "Ping")
	},
	"cgroups": probeCgroups,
}

func landlockThere() error {
	_, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return errno
	}
	return nil
}

// Need skips the test when the machine lacks one of the features; when SBX_MUST
// promises it, the test fails instead, so that nothing is left out unnoticed.
func Need(t testing.TB, features ...string) {
	t.Helper()
	for _, name := range features {
		probe, known := probes[name]
		if !known {
			t.Fatalf("Need(%q): no such feature", name)
		}
		err := probe()
		if err != nil {
			promised.OrSkip(t, name, err)
		}
	}
}

func unknownFeatures(list string) []string {
	var unknown []string
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		if _, known := probes[name]; !known {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func probeOverlay() error {
	dir, err := os.MkdirTemp("", "sbx-overlay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return output("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec",
		"cd "+dir+"; mkdir l u w m; mount -t overlay -o userxattr,lowerdir=l,upperdir=u,workdir=w overlay m; rm -rf w/work")
}

// probePasta wants the device by which pasta makes its interface too.
func probePasta() error {
	if err := program("pasta"); err != nil {
		return err
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return tun.Close()
}

func probePodmanRun() error {
	dir, err := os.MkdirTemp("", "sbx-podman-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Whatever the image is, its absence is told after what cannot be done.
	root := dir + "/root"
	return output("sh", "-ec", "mkdir -p "+root+"; tar -xf \"$SBX_TEST_BUSYBOX\" -C "+root+
		"; podman --root "+dir+"/s --runroot "+dir+"/r --cgroup-manager cgroupfs run --rm --network none --rootfs "+root+" true")
}

// probeCgroups asks systemd for a cgroup that the user may divide, with the three
// controllers that every distribution gives away.
func probeCgroups() error {
	return output("systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes", "sh", "-ec",
		`cd "/sys/fs/cgroup$(sed s/^0::// /proc/self/cgroup)"; for c in cpu memory pids; do grep -w $c cgroup.controllers; done; test -w cgroup.procs`)
}

func output(name string, args ...string) error {
	_, err := outputOf(name, args...)
	return err
}

// outputOf gives what a command says; its errors are in the error.
func outputOf(name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return out, nil
}

func exists(path string) error {
	_, err := os.Stat(path)
	return err
}

func program(name string) error {
	_, err := exec.LookPath(name)
	return err
}

func archive(variable string) error {
	path := os.Getenv(variable)
	if path == "" {
		return fmt.Errorf("%s is not set: contrib/testroots or contrib/testdebs makes it", variable)
	}
	return exists(path)
}

func writable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}
