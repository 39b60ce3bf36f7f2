package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"sbx/tests/registry"
)

// remote is a registry with the big image, and what stands in for the world.
type remote struct {
	*registry.Registry
	image string // host/name:tag
	small string // the image that the other rows run, to be pulled
	size  string // for the names of rows
}

// remotely starts the registry and puts the big image into it, unless that is done.
// It is pushed by skopeo from a layout: neither of those that are measured had a
// hand in it.
func (b *bench) remotely() (*remote, error) {
	if b.store != nil {
		return b.store, nil
	}
	for _, tool := range []string{"podman", "docker-registry", "skopeo"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is not installed: contrib/setup test installs it", tool)
		}
	}
	layout, size, err := b.layout()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.Home, "registry")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	r, err := registry.Start(dir, registry.Options{})
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, r.Stop)
	s := &remote{Registry: r, image: r.Addr + "/bench/big:1", size: size}
	copied := subject{args: []string{"skopeo", "copy", "-q", "--dest-tls-verify=false", "oci:" + layout + ":big", "docker://" + s.image}, env: b.Env(), dir: b.Home}
	if _, err := once(copied); err != nil {
		return nil, err
	}
	s.small = r.Addr + "/bench/small:1"
	if err := b.putSmall(r.Addr); err != nil {
		return nil, err
	}
	b.store = s
	return s, nil
}

func (b *bench) putSmall(addr string) error {
	raw, err := os.ReadFile(b.rootfs)
	if err != nil {
		return err
	}
	l, err := registry.NewLayer(raw, "gzip")
	if err != nil {
		return err
	}
	p, err := registry.Image{Layers: []registry.Layer{l}}.Pack()
	if err != nil {
		return err
	}
	return registry.Client{Base: "http://" + addr}.Put("bench/small", "1", p)
}

// emptied gives the function a registry that has nothing, and that nobody has seen
// before.
func (b *bench) emptied(use func(r *registry.Registry) error) (err error) {
	dir, err := os.MkdirTemp(b.Home, "empty-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r, err := registry.Start(dir, registry.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Stop()) }()
	return use(r)
}
