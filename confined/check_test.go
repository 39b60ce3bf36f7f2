package confined

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sbx/api"
)

// honoured are the fields that mean what they mean with namespaces, or nothing for
// the image host.
var honoured = []string{
	"Spec.Image", "Spec.Pull", "Spec.EntrypointSet", "Spec.Caller.UID", "Spec.Caller.GID", "Spec.Caller.Name", "Spec.Caller.Home", "Spec.Caller.Lang", "Spec.Caller.Term",
	"Spec.Process.Entrypoint", "Spec.Process.Cmd", "Spec.Process.Env", "Spec.Process.WorkDir", "Spec.Process.Stdin", "Spec.Process.TTY",
	"Spec.Isolation.CapDrop", "Spec.Isolation.NoNewPrivileges", "Spec.Isolation.Seccomp", "Spec.Isolation.ReadOnly", "Spec.Lifecycle.AutoRemove",
	"Stdio.In", "Stdio.Out", "Stdio.Err", "Stdio.Direct", "Stdio.Size.Rows", "Stdio.Size.Cols",
}

// Every field of a request is honoured or refused: one that is new to the request fails
// here until somebody has said which.
func TestEveryFieldIsHonouredOrRefused(t *testing.T) {
	if err := check(&api.Run{}); err != nil {
		t.Fatal(err)
	}
	var r api.Run
	fields(reflect.ValueOf(&r).Elem(), "", func(name string) {
		if strings.HasPrefix(name, "Fetch") {
			return // of an image to pull
		}
		if err := check(&r); (err == nil) != slices.Contains(honoured, name) {
			t.Errorf("%s: %v", name, err)
		}
	})
}

// fields sets one leaf after the other to something, and calls then.
func fields(v reflect.Value, name string, then func(name string)) {
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			fields(v.Field(i), strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."), then)
		}
		return
	}
	before := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint16, reflect.Uint64:
		v.SetUint(1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		panic(fmt.Sprintf("%s is a %s", name, v.Kind()))
	}
	then(name)
	v.Set(before)
}

func TestMounts(t *testing.T) {
	bind := func(source, target string, readOnly bool) api.Mount {
		return api.Mount{Type: api.MountBind, Source: source, Target: target, ReadOnly: readOnly}
	}
	for _, c := range []struct {
		mounts []api.Mount
		err    string
	}{
		{[]api.Mount{bind("/a", "/a", false), bind("/a/b", "/a/b", false), bind("/ab", "/ab/", true)}, ""},
		{[]api.Mount{bind("/a", "/a", true), bind("/a/b", "/a/b", false)}, ""},
		{[]api.Mount{bind("/a/b", "/a/b", true), bind("/a", "/a", false)}, "is writable"},
		{[]api.Mount{bind("/a", "/b", false)}, "-v /a:/a"},
		{[]api.Mount{{Type: api.MountTmpfs, Target: "/t"}}, "tmpfs"},
		{[]api.Mount{{Type: api.MountVolume, Source: "v", Target: "/t"}}, "volume"},
		{[]api.Mount{{Type: api.MountBind, Source: "/a", Target: "/a", Options: "noexec"}}, "noexec"},
	} {
		err := checkMounts(c.mounts)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: %v, want %q", c.mounts, err, c.err)
		}
	}
}

func TestViewLeavesOutWhatIsHidden(t *testing.T) {
	grants := view([]string{"/usr/share", "/tmp", "/etc/passwd"})
	at := func(path string) bool {
		return slices.ContainsFunc(grants, func(g grant) bool { return below(path, g.path) })
	}
	for _, path := range []string{"/usr/bin/env", "/etc/group", "/proc/self", "/dev/null"} {
		if !at(path) {
			t.Errorf("%s is not shown", path)
		}
	}
	for _, path := range []string{"/usr/share/doc", "/usr/share", "/tmp/x", "/etc/passwd", "/dev/tty", "/dev/pts/0", "/usr", "/"} {
		if at(path) {
			t.Errorf("%s is shown", path)
		}
	}
}
