package sys

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// join gives what it takes to enter the namespaces of a process.
func join(t *testing.T, p *os.Process, flags int) []Join {
	t.Helper()
	f, err := Pidfd(p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return []Join{{File: f, Flags: flags}}
}

func TestEntryEntersNamespaces(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := waiting(t, exe, unix.CLONE_NEWUSER|unix.CLONE_NEWUTS|unix.CLONE_NEWNS, 0)
	pid := strconv.Itoa(p.Pid)
	got := ask(t, &Entry{
		Exe: self(t), Args: []string{"a", "b"},
		Join: join(t, p, unix.CLONE_NEWUSER|unix.CLONE_NEWUTS|unix.CLONE_NEWNS), Unshare: unix.CLONE_NEWIPC,
	})
	for _, kind := range []string{"user", "uts", "mnt"} {
		if got.Namespaces[kind] != namespace(pid, kind) || got.Namespaces[kind] == namespace("self", kind) {
			t.Errorf("%s namespace %s, want %s", kind, got.Namespaces[kind], namespace(pid, kind))
		}
	}
	if ipc := got.Namespaces["ipc"]; ipc == namespace(pid, "ipc") || !strings.HasPrefix(ipc, "ipc:[") {
		t.Errorf("ipc namespace %s is not a new one", ipc)
	}
	if got.UID != 0 || got.CapEff == 0 || !slices.Equal(got.Args, []string{"a", "b"}) {
		t.Errorf("uid %d, capabilities %x, arguments %q", got.UID, got.CapEff, got.Args)
	}
}

// An execve of a user who is not root drops everything that is not ambient.
func TestEntryAmbientKeepsCapabilities(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := waiting(t, exe, unix.CLONE_NEWUSER, 1234)
	all, err := AllCaps()
	if err != nil {
		t.Fatal(err)
	}
	for ambient, want := range map[bool]uint64{false: 0, true: 1<<len(all) - 1} {
		got := ask(t, &Entry{Exe: self(t), Join: join(t, p, unix.CLONE_NEWUSER), Ambient: ambient})
		if got.UID != 1234 || got.CapEff != want {
			t.Errorf("ambient %t: uid %d, capabilities %x, want %x", ambient, got.UID, got.CapEff, want)
		}
	}
}

// numbered are n files, each of which says its name; one is there twice.
func numbered(t *testing.T, n int) []*os.File {
	t.Helper()
	dir := t.TempDir()
	var files []*os.File
	for i := range n {
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if _, err := f.WriteString("file " + f.Name()); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	files[n/2] = files[0]
	slices.Reverse(files)
	return files
}

func TestEntryRenumbersFiles(t *testing.T) {
	const n = 40
	t.Run("places that hold another file", func(t *testing.T) {
		files := numbered(t, n)
		renumber(t, files, func(fd, place int) bool { return fd != place && fd < n+3 })
	})
	// What is moved out of the way must not be moved to another file's place.
	t.Run("places that are free", func(t *testing.T) {
		room := numbered(t, n)
		files := numbered(t, n)
		for _, f := range room {
			f.Close()
		}
		renumber(t, files, func(fd, _ int) bool { return fd >= n+3 })
	})
}

// renumber makes files the descriptors from 3 on and looks what is there. Most of
// them must be where the test wants them to come from.
func renumber(t *testing.T, files []*os.File, wanted func(fd, place int) bool) {
	t.Helper()
	count := 0
	for i, f := range files {
		if wanted(int(f.Fd()), i+3) {
			count++
		}
	}
	if count < len(files)/2 {
		t.Fatalf("only %d of %d descriptors are as this test needs them", count, len(files))
	}
	got := ask(t, &Entry{Exe: self(t)}, files...)
	for i, f := range files {
		if want := "file " + f.Name(); got.Files[i+3] != want {
			t.Errorf("descriptor %d is %q, want %q", i+3, got.Files[i+3], want)
		}
	}
	for fd, text := range got.Files { // Go opens some of its own
		if fd >= len(files)+3 && strings.HasPrefix(text, "file ") {
			t.Errorf("descriptor %d was inherited: %q", fd, text)
		}
	}
	// The report of a failure has to find its way, too.
	lost := &Entry{Paths: []string{"/no/such/program"}, Args: []string{"x"}, Files: files}
	if _, err := lost.Start(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestEntryNamesTheStepThatFailed(t *testing.T) {
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	own, err := os.Open("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	script := &Script{}
	script.Call("first", unix.SYS_GETPID)
	script.Call("second thing", unix.SYS_FCHDIR, ^uintptr(0))
	script.Call("third", unix.SYS_EXIT_GROUP, 0)
	for step, c := range map[string]struct {
		entry Entry
		errno unix.Errno
	}{
		"setns":        {Entry{Join: []Join{{own, unix.CLONE_NEWUSER}}}, unix.EINVAL},
		"unshare":      {Entry{Unshare: 1}, unix.EINVAL},
		"dup":          {Entry{Files: []*os.File{closed}}, unix.EBADF},
		"second thing": {Entry{Script: script}, unix.EBADF},
	} {
		c.entry.Exe, c.entry.Args = self(t), []string{"never"}
		pid, err := c.entry.Start()
		var failed *os.SyscallError
		if !errors.As(err, &failed) || failed.Syscall != step || failed.Err != c.errno || pid != 0 {
			t.Errorf("%s: pid %d, %v, want %v", step, pid, err, c.errno)
		}
	}
	noZombies(t)
}

func noZombies(t *testing.T) {
	t.Helper()
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
}

func TestEntryTriesPathsAsExecvp(t *testing.T) {
	dir := t.TempDir()
	path := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if text != "" {
			if err := os.WriteFile(p, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	missing, more := path("missing", "", 0), path("more", "", 0)
	denied := path("denied", "#!/bin/sh\n", 0o644)
	below := filepath.Join(denied, "below")
	garbage := path("garbage", "neither ELF nor script", 0o755)
	lost := path("lost", "#!/no/such/interpreter\n", 0o755)
	good, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		paths []string
		path  string
		errno unix.Errno
	}{
		{[]string{missing}, missing, unix.ENOENT},
		{[]string{missing, below, more}, missing, unix.ENOENT},
		{[]string{missing, denied, more}, denied, unix.EACCES},
		{[]string{denied, missing}, denied, unix.EACCES},
		{[]string{dir, missing}, dir, unix.EACCES},
		{[]string{lost, missing}, lost, unix.ENOENT},
		{[]string{missing, garbage, good}, garbage, unix.ENOEXEC},
	} {
		_, err := (&Entry{Paths: c.paths, Args: []string{"x"}}).Start()
		var failed *ExecError
		if !errors.As(err, &failed) || failed.Path != c.path || !errors.Is(err, c.errno) {
			t.Errorf("%q: %v, want %s: %v", c.paths, err, c.path, c.errno)
		}
	}
	noZombies(t)
	pid, err := (&Entry{Paths: []string{missing, denied, below, good}, Args: []string{"x"}, Env: []string{role + "=seventeen"}}).Start()
	if err != nil {
		t.Fatal(err)
	}
	if code, err := wait(pid); code != 17 || err != nil {
		t.Errorf("the last path: status %d, %v", code, err)
	}
	unsealed, err := os.Open(denied)
	if err != nil {
		t.Fatal(err)
	}
	defer unsealed.Close()
	_, err = (&Entry{Exe: unsealed, Args: []string{"x"}}).Start()
	if !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), denied) {
		t.Errorf("by descriptor: %v", err)
	}
}

func TestEntryRefusesNUL(t *testing.T) {
	for _, e := range []Entry{{Args: []string{"a\x00b"}}, {Env: []string{"A=\x00"}}, {Paths: []string{"/bin\x00/sh"}}} {
		if pid, err := e.Start(); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%+v: %d, %v", e, pid, err)
		}
	}
}
