package cgroup_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/cgroup"
)

// The life of groups, with real processes in them.

func TestRealProcessIsBornInItsGroup(t *testing.T) {
	need(t)
	g := group(t, api.Limits{})
	c := start(t, g, "sleep")
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.Process.Pid))
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(text)), "/"+filepath.Base(g.Path)) {
		t.Errorf("%s, %v", text, err)
	}
	if in, err := g.Has(c.Process.Pid); err != nil || !in {
		t.Errorf("%v, %v", in, err)
	}
	if in, err := g.Has(os.Getpid()); err != nil || in {
		t.Errorf("this process: %v, %v", in, err)
	}
	if full, err := g.Populated(); err != nil || !full {
		t.Errorf("%v, %v", full, err)
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if code := end(t, c); code != 137 {
		t.Errorf("exit status %d", code)
	}
}

func TestRealFreeze(t *testing.T) {
	need(t)
	g := group(t, api.Limits{})
	c := start(t, g, "spin 60000")
	w := watch(t, g)
	usage := func() time.Duration {
		s, err := g.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return s.CPU.Usage
	}
	if err := g.Freeze(true); err != nil {
		t.Fatal(err)
	}
	if e := next(t, w); !e.Frozen {
		t.Errorf("%+v", e)
	}
	before := usage()
	time.Sleep(300 * time.Millisecond)
	if after := usage(); after != before {
		t.Errorf("it ran for %v", after-before)
	}
	if err := g.Freeze(false); err != nil {
		t.Fatal(err)
	}
	if e := next(t, w); e.Frozen || !e.Populated {
		t.Errorf("%+v", e)
	}
	if err := g.Freeze(true); err != nil {
		t.Fatal(err)
	}
	// What is frozen can be killed.
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if code := end(t, c); code != 137 {
		t.Errorf("exit status %d", code)
	}
}

// A sandbox that can write its cgroup leaves others behind.
func TestRealNestedGroupsGo(t *testing.T) {
	need(t)
	g := group(t, api.Limits{})
	deep := g.Path
	for i := range 20 {
		deep = filepath.Join(deep, "n"+strconv.Itoa(i))
		if err := os.Mkdir(deep, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(deep, "beside"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := start(t, cgroup.Group{Path: deep}, "sleep")
	if pids, err := g.Pids(); err != nil || len(pids) != 1 || pids[0] != c.Process.Pid {
		t.Errorf("%v, %v", pids, err)
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	end(t, c)
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
}

func TestRealParents(t *testing.T) {
	need(t)
	a := group(t, api.Limits{CgroupParent: "test/night"})
	b := group(t, api.Limits{CgroupParent: "test"})
	night, test := filepath.Join(home.Path, "test/night"), filepath.Join(home.Path, "test")
	if filepath.Dir(a.Path) != night || filepath.Dir(b.Path) != test {
		t.Error(a, b)
	}
	have, err := os.ReadFile(a.Path + "/cgroup.controllers")
	for _, c := range home.Controllers {
		if err != nil || !slices.Contains(strings.Fields(string(have)), c) {
			t.Errorf("%s: %s, %v", c, have, err)
		}
	}
	if err := home.Group(a.Path).Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(night); !errors.Is(err, os.ErrNotExist) {
		t.Error("the empty parent is still there", err)
	}
	if _, err := os.Stat(test); err != nil {
		t.Error("a parent with another group is gone", err)
	}
	if err := b.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(test); !errors.Is(err, os.ErrNotExist) {
		t.Error("the empty parent is still there", err)
	}
}

func TestRealSweep(t *testing.T) {
	need(t)
	left, kept, full := group(t, api.Limits{CgroupParent: "old"}), group(t, api.Limits{}), group(t, api.Limits{})
	c := start(t, full, "sleep")
	if err := home.Sweep(func(path string) bool { return path == kept.Path }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(left.Path)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the empty group or its parent is still there", err)
	}
	for _, g := range []cgroup.Group{kept, full} {
		if _, err := os.Stat(g.Path); err != nil {
			t.Error(err)
		}
	}
	if err := full.Kill(); err != nil {
		t.Error(err)
	}
	end(t, c)
}

func TestRealGroupIsGone(t *testing.T) {
	need(t)
	g := group(t, api.Limits{})
	if err := os.Remove(g.Path); err != nil {
		t.Fatal(err)
	}
	_, err1 := g.File()
	_, err2 := g.Stats()
	_, err3 := g.Pids()
	_, err4 := g.OOMKills()
	for i, err := range []error{err1, err2, err3, err4, g.Kill(), g.Freeze(true), g.Set([]cgroup.Write{{File: "cpu.weight", Value: "1"}}), watchless(g)} {
		var e *api.Error
		if !errors.As(err, &e) || !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "the cgroup is gone: something else has removed it") {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
}

func watchless(g cgroup.Group) error {
	w, err := cgroup.NewWatch()
	if err != nil {
		return err
	}
	return errors.Join(w.Add(g), w.Close())
}

func TestRealErrorsSayWhy(t *testing.T) {
	need(t)
	g := group(t, api.Limits{})
	err := g.Set([]cgroup.Write{{File: "cgroup.freeze", Value: "7"}})
	if !errors.Is(err, unix.ERANGE) || !strings.Contains(err.Error(), "does not take this value") {
		t.Error(err)
	}
	err = g.Set([]cgroup.Write{{File: "hugetlb.none", Value: "7"}})
	if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "the hugetlb controller has been withdrawn") {
		t.Error(err)
	}
	if err := g.Set([]cgroup.Write{{File: "memory.none", Value: "7", Free: true}, {File: "none", Value: "1", Else: &cgroup.Write{File: "cgroup.freeze", Value: "0"}}}); err != nil {
		t.Error(err)
	}
	c := start(t, g, "sleep")
	if err := g.Remove(); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), strconv.Itoa(c.Process.Pid)+" is still in it") {
		t.Error(err)
	}
	if _, err := home.Make("", filepath.Base(g.Path)); err == nil || !strings.Contains(err.Error(), "with processes in it") {
		t.Error(err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	end(t, c)
	if again, err := home.Make("", filepath.Base(g.Path)); err != nil || again.Path != g.Path {
		t.Errorf("an empty one that is left: %v, %v", again, err)
	}
}

func TestRealThousandLeaveNothing(t *testing.T) {
	need(t)
	before := descendants(t)
	began := time.Now()
	w := watch(t, group(t, api.Limits{}))
	for i := range 1000 {
		g, err := home.Make("", fmt.Sprintf("%064x", i))
		if err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			err = w.Add(g)
		}
		if err := errors.Join(err, g.Remove()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v each", time.Since(began)/1000)
	if after := descendants(t); after != before+1 {
		t.Errorf("%d groups before, %d after", before, after)
	}
}

func descendants(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(home.Path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if e.IsDir() {
			n++
		}
	}
	return n
}
