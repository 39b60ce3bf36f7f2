package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"sbx/tests/instance"
)

// peers are the commands of other programs that do the same as a row of ours. Their
// directories and processes are no part of the instance that is measured.
type peers struct {
	*instance.Instance
	run, exec []subject
	end       []subject
	podman    bool     // it works
	isolation []string // flags of its build
}

// findPeers sets up podman and crun when they are installed. One that does not
// work here is left out, with a line that says so.
func (b *bench) findPeers(rootfs string) error {
	var err error
	if b.peers.Instance, err = instance.New(b.Bin); err != nil {
		return err
	}
	for name, setUp := range map[string]func(string) error{"podman": b.podman, "crun": b.crun} {
		if _, err := exec.LookPath(name); err != nil {
			continue
		}
		if err := setUp(rootfs); err != nil {
			fmt.Fprintf(os.Stderr, "bench: without %s: %v\n", name, err)
		}
	}
	return nil
}

// podmanDo is a podman command on a store of its own, on the kernel's overlay like sbx's.
func (b *bench) podmanDo(args ...string) subject {
	base := []string{"podman", "--root", filepath.Join(b.peers.Root, "podman"), "--runroot", filepath.Join(b.peers.Root, "podman-run"),
		"--storage-driver", "overlay", "--events-backend", "none", "--cgroup-manager", "cgroupfs"}
	return subject{name: "podman", args: append(base, args...), env: append(b.peers.Env(), "XDG_RUNTIME_DIR="+b.peers.Root), dir: b.peers.Home}
}

// podman imports the image that is run, and starts one sandbox.
func (b *bench) podman(rootfs string) error {
	// It keeps a process, whatever works and whatever does not.
	b.peers.end = append(b.peers.end, b.podmanDo("system", "migrate"))
	cmd := func(args ...string) subject {
		s := b.podmanDo(args...)
		s.every = 10
		return s
	}
	for _, s := range []subject{
		cmd("import", rootfs, image),
		cmd("run", "-d", "--name", "target", "--network", "none", image, "sleep", "100000"),
	} {
		if _, err := once(s); err != nil {
			return err
		}
	}
	b.peers.run = append(b.peers.run, cmd("run", "--rm", "--network", "none", image, "true"))
	b.peers.exec = append(b.peers.exec, cmd("exec", "target", "true"))
	b.peers.end = append([]subject{cmd("rm", "-a", "-f", "-t", "0")}, b.peers.end...)
	b.peers.podman = true
	return nil
}

// crun gets the bundle that its own spec command makes, for our root and true.
func (b *bench) crun(string) error {
	bundle := filepath.Join(b.peers.Home, "bundle")
	if err := os.Mkdir(bundle, 0o755); err != nil {
		return err
	}
	env := append(b.peers.Env(), "XDG_RUNTIME_DIR="+b.peers.Home)
	if _, err := once(subject{args: []string{"crun", "spec", "--rootless"}, env: env, dir: bundle}); err != nil {
		return err
	}
	path := filepath.Join(bundle, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		return err
	}
	config["root"] = map[string]any{"path": b.root, "readonly": true}
	process, ok := config["process"].(map[string]any)
	if !ok {
		return fmt.Errorf("%s has no process", path)
	}
	process["terminal"], process["args"] = false, []string{"true"}
	if raw, err = json.Marshal(config); err != nil {
		return err
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		return err
	}
	s := subject{name: "crun", args: []string{"crun", "--cgroup-manager=disabled", "run", "bench"}, env: env, dir: bundle, every: 2}
	if _, err := once(s); err != nil {
		return err
	}
	b.peers.run = append(b.peers.run, s)
	return nil
}
