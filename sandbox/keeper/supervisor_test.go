package keeper

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scripted is a supervisor that runs a shell script, which finds the number of
// the run in $n.
func scripted(t *testing.T, script string) (s *supervisor, runs func() int) {
	t.Helper()
	// See Main.
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	dir := t.TempDir()
	exe := filepath.Join(dir, "sbxd")
	count := filepath.Join(dir, "count")
	text := "#!/bin/sh\necho run >>" + count + "\nn=$(wc -l <" + count + ")\n" + script
	if err := os.WriteFile(exe, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	s = &supervisor{exe: exe, env: os.Environ(), socket: newSocket(t, filepath.Join(dir, "sock")), binary: int(null.Fd())}
	return s, func() int {
		data, err := os.ReadFile(count)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(data), "run")
	}
}

func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

func TestKeepRestartsAfterCrash(t *testing.T) {
	s, runs := scripted(t, "[ $n = 1 ] && exit 3\n[ $n = 2 ] && kill -9 $$\nexit 0\n")
	if err := s.keep(); err != nil {
		t.Fatal(err)
	}
	if n := runs(); n != 3 {
		t.Errorf("%d runs", n)
	}
	absent(t, s.socket.path)
}

func TestKeepGivesUp(t *testing.T) {
	s, runs := scripted(t, "exit 1\n")
	err := s.keep()
	if err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("%v", err)
	}
	if n := runs(); n != maxCrashes+1 {
		t.Errorf("%d runs", n)
	}
	s.exe += ".missing"
	if err := s.keep(); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without a program: %v", err)
	}
}

// A client that has connected when the supervisor leaves is served by the next
// one.
func TestKeepServesTheLateClient(t *testing.T) {
	s, runs := scripted(t, "[ -e /proc/$$/fd/3 ] && [ -e /proc/$$/fd/4 ]\n")
	// Nobody ever accepts it, so every supervisor that is content to leave is
	// followed by another.
	dial(t, s.socket.path)
	if err := s.keep(); err == nil || !strings.Contains(err.Error(), "client") {
		t.Errorf("with a client waiting: %v", err)
	}
	if n := runs(); n != maxCrashes+1 {
		t.Errorf("%d runs", n)
	}
}

func TestStop(t *testing.T) {
	s, runs := scripted(t, "")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(s.exe)
	if err != nil {
		t.Fatal(err)
	}
	script = append(script, "echo started >"+fifo+"\nexec sleep 60\n"...)
	if err := os.WriteFile(s.exe, script, 0o755); err != nil {
		t.Fatal(err)
	}
	go func() {
		if _, err := os.ReadFile(fifo); err != nil {
			t.Error(err)
		}
		s.stop(syscall.SIGTERM)
	}()
	if err := s.keep(); err != nil {
		t.Fatal(err)
	}
	if n := runs(); n != 1 {
		t.Errorf("%d runs", n)
	}
	absent(t, s.socket.path)
	if err := s.keep(); err != nil || runs() != 1 {
		t.Errorf("started again after stop: %v", err)
	}
}

// Monitors of a dead supervisor are the keeper's children; their ends are noted
// and are not mistaken for the supervisor's.
func TestKeepReapsOrphans(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// The first run leaves an orphan behind that the second one sees the end of.
	s, runs := scripted(t, `
if [ $n = 1 ]; then
	sh -c 'read x <`+fifo+`; exit 5' &
	kill -9 $$
fi
echo >`+fifo+`
exit 0
`)
	if err := s.keep(); err != nil {
		t.Fatal(err)
	}
	if n := runs(); n != 2 {
		t.Errorf("%d runs", n)
	}
}

func TestRestarts(t *testing.T) {
	start := time.Unix(0, 0)
	var r restarts
	for i := range maxCrashes {
		if r.add(start.Add(time.Duration(i) * time.Second)) {
			t.Errorf("crash %d is too many", i+1)
		}
	}
	if !r.add(start.Add(crashWindow)) {
		t.Error("one more within the window is not too many")
	}
	var slow restarts
	for i := range 100 {
		if slow.add(start.Add(time.Duration(i) * (crashWindow + maxCrashes) / maxCrashes)) {
			t.Fatalf("crash %d, one every %v, is too many", i+1, crashWindow/maxCrashes)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"HOME=/h", "_ROOTLESSKIT_REEXEC_COUNT_1_2=1", "_SBX_STATE=/s", "LISTEN_FDS=1", "SBX_RUN=/r", "_=x"})
	if want := []string{"HOME=/h", "SBX_RUN=/r", "_=x"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}
