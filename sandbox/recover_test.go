package sandbox

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/sandbox/monitor"
)

// keep puts a sandbox on the disk as an earlier supervisor has left it.
func keep(t *testing.T, s *Supervisor, c api.Config, status *api.Status) string {
	t.Helper()
	dir := filepath.Join(s.Dirs.Sandboxes(), c.ID)
	for name, v := range map[string]any{"config.json": c, "state.json": status} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name), string(text))
	}
	put(t, dir+"/upper/data", "data")
	return dir
}

func named(id, name string) api.Config { return api.Config{ID: id, Spec: api.Spec{Name: name}} }

func TestRecoverClearsTheHalfMade(t *testing.T) {
	s, log := supervisor(t)
	put(t, s.Dirs.Data+"/outside/file", "")
	half := map[string]func(dir string){
		id("1"): func(dir string) { put(t, dir+"/upper/file", "") },
		id("2"): func(dir string) { put(t, dir+"/config.json.new", `{"id"`) },
		id("3"): func(dir string) { put(t, dir+"/state.json", "{}") },
		id("4"): func(dir string) {
			put(t, s.Dirs.Monitor(filepath.Base(dir)), "")
			put(t, filepath.Join(dir, "work", "x"), "")
		},
		id("5"): func(dir string) {
			if err := os.Symlink(s.Dirs.Data+"/outside", dir); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, make := range half {
		make(filepath.Join(s.Dirs.Sandboxes(), name))
	}
	whole := keep(t, s, named(id("a"), "whole"), &api.Status{State: api.Created})
	put(t, s.Dirs.Run+"/"+id("6")+"/network.json", "{}") // its files are the next one's
	put(t, s.Dirs.Run+"/storage/x", "")
	if err := s.recover(); err != nil {
		t.Fatal(err)
	}
	for name := range half {
		if exists(filepath.Join(s.Dirs.Sandboxes(), name)) {
			t.Errorf("%s is left", name[:3])
		}
	}
	if exists(s.Dirs.Run+"/"+id("4")) || exists(s.Dirs.Run+"/"+id("6")) || !exists(s.Dirs.Run+"/storage/x") || !exists(s.Dirs.Data+"/outside/file") || !exists(whole+"/upper/data") {
		t.Errorf("left:\n%s", list(t, filepath.Dir(s.Dirs.Data)))
	}
	if len(s.boxes) != 1 || s.names["whole"] == nil || log.Len() != 0 {
		t.Errorf("%v: %s", s.boxes, log)
	}
}

// What cannot be read may hold somebody's data.
func TestRecoverLeavesTheUnreadable(t *testing.T) {
	s, log := supervisor(t)
	for name, config := range map[string]string{
		id("1"): "", id("2"): "{", id("3"): "\x00\x00\x00", id("4"): `{"id":7}`, id("5"): `[]`,
		id("6"): `{"id":"` + id("7") + `"}`, id("8"): "{}", id("9"): "null",
		"short": "", "lost+found": "{}", strings.Repeat("g", idLength): "{}", id("c") + "1": "{}",
	} {
		dir := filepath.Join(s.Dirs.Sandboxes(), name)
		put(t, dir+"/config.json", config)
		put(t, dir+"/upper/data", "data")
	}
	put(t, s.Dirs.Sandboxes()+"/a file", "data")
	put(t, s.Dirs.Sandboxes()+"/"+id("f"), "data")
	put(t, s.Dirs.Sandboxes()+"/no config/data", "data")
	before := list(t, s.Dirs.Data)
	if err := s.recover(); err != nil {
		t.Fatal(err)
	}
	if after := list(t, s.Dirs.Data); after != before {
		t.Errorf("left:\n%s\nof\n%s", after, before)
	}
	if n := strings.Count(log.String(), "left alone"); len(s.boxes) != 0 || n != 14 {
		t.Errorf("%d sandboxes, %d warnings: %s", len(s.boxes), n, log)
	}
}

func TestRecoverSettlesWhatHasEnded(t *testing.T) {
	s, _ := supervisor(t)
	exited := api.Status{State: api.Exited, ExitCode: 3, FinishedAt: time.Unix(1e9, 0).UTC()}
	keep(t, s, named(id("a"), "exited"), &exited)
	brief := named(id("b"), "brief")
	brief.Lifecycle.AutoRemove = true
	briefDir := keep(t, s, brief, &api.Status{State: api.Running, PID: 1 << 30})
	broken := keep(t, s, named(id("c"), "broken"), &api.Status{})
	put(t, broken+"/state.json", "{")
	lostDir := keep(t, s, named(id("d"), "lost"), &api.Status{State: api.Running, PID: 1 << 30, PIDStart: 1})
	put(t, s.Dirs.Run+"/"+id("d")+"/left", "")
	if err := s.recover(); err != nil {
		t.Fatal(err)
	}
	if len(s.boxes) != 3 || s.names["brief"] != nil || exists(briefDir) {
		t.Errorf("%d sandboxes; that with --rm is there: %t", len(s.boxes), exists(briefDir))
	}
	if got := s.names["exited"].status; got != exited {
		t.Errorf("exited: %+v", got)
	}
	var kept api.Status
	if err := readJSON(lostDir+"/state.json", &kept); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]api.Status{"in memory": s.names["lost"].status, "on disk": kept} {
		if got.State != api.Exited || !got.Unknown || got.ExitCode != 255 || got.FinishedAt.IsZero() || got.Error == "" {
			t.Errorf("lost, %s: %+v", name, got)
		}
	}
	if exists(s.Dirs.Run + "/" + id("d")) {
		t.Error("the runtime directory is left")
	}
	for name, b := range s.names {
		for what, c := range map[string]chan struct{}{"begun": b.begun, "ended": b.ended, "gone": b.gone} {
			select {
			case <-c:
			default:
				t.Errorf("who waits until %s is %s waits for ever", name, what)
			}
		}
	}
}

// A program whose monitor was killed is ended; a process that has its number by
// now is not.
func TestRecoverKillsTheProgramOnly(t *testing.T) {
	s, _ := supervisor(t)
	var programs []*exec.Cmd
	for i, shift := range []uint64{0, 1} {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have ended
		start, err := sys.StartTime(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, cmd)
		name := []string{"own", "stranger"}[i]
		keep(t, s, named(id(string('a'+rune(i))), name), &api.Status{State: api.Running, PID: cmd.Process.Pid, PIDStart: start - shift})
	}
	if err := s.recover(); err != nil {
		t.Fatal(err)
	}
	if err := programs[0].Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the program: %v", err)
	}
	if err := programs[1].Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := programs[1].Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("the stranger: %v", err)
	}
}

// greet answers the next supervisor in place of a sandbox's monitor, and gives
// its end of the conversation.
func greet(t *testing.T, s *Supervisor, id, kind string, body any) <-chan *api.Conn {
	t.Helper()
	path := s.Dirs.Monitor(id)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	sa, done, err := api.Sockaddr(path)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if err := unix.Bind(fd, sa); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	conns := make(chan *api.Conn, 1)
	go func() {
		defer close(conns)
		defer unix.Close(fd)
		peer, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if err != nil {
			t.Error(err)
			return
		}
		conn, err := api.ConnFd(peer, "monitor")
		if err == nil {
			err = conn.Send(kind, body)
		}
		if err != nil {
			t.Error(err)
		}
		conns <- conn
	}()
	return conns
}

func TestRecoverAdoptsWhatRuns(t *testing.T) {
	s, _ := supervisor(t)
	var err error
	if s.events, err = newEvents(s); err != nil {
		t.Fatal(err)
	}
	now := api.Status{State: api.Running, PID: 4711, StartedAt: time.Unix(1e9, 0).UTC()}
	dir := keep(t, s, named(id("a"), "runs"), &api.Status{State: api.Created}) // older than what the monitor knows
	lies := keep(t, s, named(id("b"), "lies"), &api.Status{State: api.Running})
	says := greet(t, s, id("a"), monitor.KindStatus, now)
	wrong := greet(t, s, id("b"), monitor.KindExited, now)
	if err := s.recover(); err != nil {
		t.Fatal(err)
	}
	conn := <-says
	t.Cleanup(func() { conn.Close() })
	(<-wrong).Close()
	runs := s.names["runs"]
	if !runs.running() || runs.status != now || !exists(s.Dirs.Monitor(id("a"))) {
		t.Errorf("adopted as %+v", runs.status)
	}
	if b := s.names["lies"]; b.link != nil || b.status.State != api.Exited || !b.status.Unknown || !exists(lies+"/upper/data") {
		t.Errorf("a monitor that is none: %+v", b.status)
	}
	if s.Idle = 0; s.idle() {
		t.Error("idle, while a sandbox runs")
	}
	now.State, now.ExitCode = api.Exited, 5
	if err := conn.Send(monitor.KindExited, now); err != nil {
		t.Fatal(err)
	}
	<-runs.ended
	s.events.drain()
	s.mu.Lock()
	defer s.mu.Unlock()
	if runs.status.ExitCode != 5 || runs.running() || !exists(dir+"/upper/data") {
		t.Errorf("in the end %+v", runs.status)
	}
}

// The monitor of an earlier version gets no orders that it would misread, and no sandbox
// of this one.
func TestOlderMonitor(t *testing.T) {
	b := newBox(named(id("a"), "kept"), "")
	b.status = api.Status{State: api.Running, Protocol: api.Protocol}
	if err := b.notOlder("exec"); err != nil {
		t.Error(err)
	}
	for _, other := range []int{0, api.Protocol - 1, api.Protocol + 1} {
		b.status.Protocol = other
		if err := b.notOlder("exec"); err == nil || !strings.HasSuffix(err.Error(), "another version of sbx has started it: sbx restart kept") {
			t.Errorf("protocol %d: %v", other, err)
		}
	}
}
