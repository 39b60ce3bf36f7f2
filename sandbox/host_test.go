package sandbox

import (
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"sbx/api"
	"sbx/internal/dirs"
)

func TestCovered(t *testing.T) {
	dirs := []string{"/tmp", "/home/me"}
	for path, want := range map[string]bool{
		"/tmp": true, "/tmp/x": true, "/tmpx": false, "/home": false, "/home/me": true, "/home/me2": false, "/home/me/.ssh": true, "/": false, "": false,
	} {
		if got := covered(dirs, path); got != want {
			t.Errorf("%q: %t", path, got)
		}
	}
	if covered(nil, "/tmp") {
		t.Error("covered by nothing")
	}
}

func TestHidden(t *testing.T) {
	const nobody = 1 << 30 // no line in /etc/passwd
	for _, c := range []struct {
		home, data, run string
		want            []string // beyond /tmp, /run and /var/tmp
	}{
		{"/home/me", "/home/me/.local/share/sbx", "/run/user/7/sbx", []string{"/home/me"}},
		{"/home/me/", "/srv/sbx", "/tmp/sbx-7", []string{"/home/me", "/srv/sbx"}},
		{"/home/me", "/home/men", "/running", []string{"/home/me", "/home/men", "/running"}},
		{"", "/data/../srv", "/run", []string{"/srv"}},
		{"/", "/d", "/r", []string{"/d", "/r"}}, // the root itself cannot be hidden
		{"relative", "/d", "/d/r", []string{"/d"}},
		{"/home/me/../../tmp/x", "/d", "/d/r", []string{"/d"}},
	} {
		got := Hidden(dirs.Dirs{Data: c.data, Run: c.run}, &api.Caller{UID: nobody, Home: c.home})
		if want := append([]string{"/tmp", "/run", "/var/tmp"}, c.want...); !slices.Equal(got, want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// $HOME may be anything; the real home directory holds the keys.
func TestHiddenIncludesTheRealHome(t *testing.T) {
	me, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		t.Skip("this user has no line in /etc/passwd")
	}
	if got := passwdHome(os.Getuid()); got != me.HomeDir {
		t.Errorf("the home directory is %q, want %q", got, me.HomeDir)
	}
	if got := passwdHome(1 << 30); got != "" {
		t.Errorf("the home directory of nobody is %q", got)
	}
	got := Hidden(dirs.Dirs{Data: "/d", Run: "/r"}, &api.Caller{UID: os.Getuid(), Home: "/elsewhere"})
	if !slices.Contains(got, "/elsewhere") || me.HomeDir != "/" && !covered(got, me.HomeDir) {
		t.Errorf("%q is not hidden by %q", me.HomeDir, got)
	}
}

func TestNameService(t *testing.T) {
	for _, image := range []string{"debian", api.HostImage} {
		got := nameService(&api.Config{Spec: api.Spec{Image: image}})
		for _, path := range []string{"/etc/resolv.conf", "/etc/hosts"} {
			real, err := filepath.EvalSymlinks(path)
			want := err == nil && (image != api.HostImage || real != path)
			target := path
			if image == api.HostImage {
				target = real
			}
			mount := api.Mount{Type: "bind", Source: real, Target: target, ReadOnly: true}
			if slices.ContainsFunc(got, func(m api.Mount) bool { return reflect.DeepEqual(m, mount) }) != want {
				t.Errorf("%s: %s is %s: %+v", image, path, real, got)
			}
		}
	}
	own := api.Config{Spec: api.Spec{Image: "debian", Mounts: []api.Mount{{Target: "/etc//hosts"}, {Target: "/etc/x/../resolv.conf/"}}}}
	if got := nameService(&own); len(got) != 0 {
		t.Errorf("over the user's own: %+v", got)
	}
}

func TestRootAndMounts(t *testing.T) {
	s, _ := supervisor(t)
	c := named(id("a"), "box")
	c.Image, c.Layers = "debian", []string{"TOP", "BASE"}
	c.Mounts = make([]api.Mount, 1, 10)
	c.Isolation.ReadOnly = true
	spec := s.rootAndMounts(&c)
	// The paths of the overlay are relative to where the layers' links are.
	for name, rel := range map[string]string{"upper": spec.Root.Upper, "work": spec.Root.Work} {
		if got, want := filepath.Join(spec.Root.Dir, rel), filepath.Join(s.Dirs.Sandboxes(), c.ID, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if spec.Root.Host != "" || spec.Root.Volatile || !spec.Root.ReadOnly || !slices.Equal(spec.Root.Lower, append(slices.Clone(c.Layers), "../../../base")) {
		t.Errorf("%+v", spec.Root)
	}
	c.Lifecycle.AutoRemove = true
	if !s.rootAndMounts(&c).Root.Volatile {
		t.Error("what is thrown away is written to the disk with care")
	}
	c.Image = api.HostImage
	if root := s.rootAndMounts(&c).Root; root.Host != "/" || root.Upper != "" || !slices.Contains(root.Private, "/tmp") {
		t.Errorf("the host: %+v", root)
	}
}
