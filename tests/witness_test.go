package tests

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// podman runs podman, which must succeed, and gives its output without the last
// newline. It has a store of its own and reads the configuration that sbx reads.
func (e *Env) podman(args ...string) string {
	e.t.Helper()
	return e.witness("", append(e.podmanArgs(), args...)...)
}

func (e *Env) podmanArgs() []string {
	dir := e.witnessDir()
	return []string{"podman", "--root", dir + "/store", "--runroot", dir + "/run", "--storage-driver", "overlay",
		"--cgroup-manager", "cgroupfs", "--events-backend", "none"}
}

// podmanSees runs a shell script in the image's root file system as podman mounts
// it. (Podman's run needs a cgroup hierarchy that not every machine gives.)
func (e *Env) podmanSees(image, script string) string {
	e.t.Helper()
	own := strings.Join(e.podmanArgs(), " ")
	return e.podman("unshare", "sh", "-ec", "m=$("+own+" image mount $0); chroot $m /bin/sh -c \"PATH=/bin:/usr/bin; $1\"", image, script)
}

// skopeo likewise.
func (e *Env) skopeo(args ...string) string {
	e.t.Helper()
	return e.witness("", append([]string{"skopeo"}, args...)...)
}

func (e *Env) witness(input string, args ...string) string {
	e.t.Helper()
	dir := e.witnessDir()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + e.Home, "XDG_RUNTIME_DIR=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8"}
	c.Dir, c.Stdin, c.WaitDelay = e.Home, strings.NewReader(input), time.Second
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		e.t.Fatalf("%q: %v: %s", args, err, errs.String())
	}
	return strings.TrimSuffix(string(out), "\n")
}

// witnessDir is removed at the end, with the process that podman keeps.
func (e *Env) witnessDir() string {
	e.t.Helper()
	if e.witnesses != "" {
		return e.witnesses
	}
	Need(e.t, "registry")
	dir, err := os.MkdirTemp("/tmp", "sbx-w-")
	if err != nil {
		e.t.Fatal(err)
	}
	e.witnesses = dir
	e.t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(dir, "store")); err == nil {
			e.podman("system", "migrate") // ends that process
		}
		if os.RemoveAll(dir) == nil {
			return
		}
		if err := output("unshare", "--user", "--map-root-user", "--map-auto", "--", "rm", "-rf", dir); err != nil {
			e.t.Error(err)
		}
	})
	return dir
}
