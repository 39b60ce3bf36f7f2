package monitor

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbx/api"
)

// A reader at any instant finds one whole state or another.
func TestSaveReplacesTheWhole(t *testing.T) {
	m := running(t)
	path := filepath.Join(m.prepare.Dir, "state.json")
	// A monitor that was killed half-way has left this.
	if err := os.WriteFile(path+".new", []byte(strings.Repeat("garbage", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	states := []api.Status{{State: api.Running, PID: 1}, {State: api.Exited, Error: strings.Repeat("e", 50_000)}}
	m.save(&states[0])
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				m.save(&states[i%2])
			}
		}
	}()
	for range 500 {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got api.Status
		if err := json.Unmarshal(data, &got); err != nil || got != states[0] && got != states[1] {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
	}
	close(stop)
	<-done
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	if _, err := os.Stat(path + ".new"); !os.IsNotExist(err) {
		t.Errorf("the temporary file is left: %v", err)
	}
}

// The supervisor removes the directory as soon as it knows of the end.
func TestSaveWithoutADirectory(t *testing.T) {
	m := running(t)
	if err := os.RemoveAll(m.prepare.Dir); err != nil {
		t.Fatal(err)
	}
	m.save(&m.status)
	if _, err := os.Stat(m.prepare.Dir); !os.IsNotExist(err) {
		t.Errorf("the directory is back: %v", err)
	}
}

// listening is a running monitor with its socket.
func listening(t *testing.T) *monitor {
	t.Helper()
	m := running(t)
	// Longer than a socket's address can be.
	dir := filepath.Join(m.prepare.Dir, strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m.prepare.Socket = filepath.Join(dir, "monitor.sock")
	if err := m.openSocket(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.listen.Close() })
	return m
}

func dial(t *testing.T, m *monitor) *api.Conn {
	t.Helper()
	conn, err := api.Dial(m.prepare.Socket, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestLaterSupervisorsAreGreeted(t *testing.T) {
	m := listening(t)
	m.status.PID = 77
	for range 3 {
		conn := dial(t, m)
		var got api.Status
		if p := kind(t, conn); p.Kind != KindStatus || p.Decode(&got) != nil || got != m.status {
			t.Errorf("greeted with %+v", p)
		}
		// The last one is told from now on.
		m.tell(KindExited, api.Status{State: api.Exited})
		if p := kind(t, conn); p.Kind != KindExited {
			t.Errorf("told %+v", p)
		}
	}
	select {
	case code := <-m.ended:
		t.Errorf("the monitor has ended with status %d", code)
	default:
	}
}

func TestSlotEndsWithItsSupervisor(t *testing.T) {
	for _, started := range []bool{false, true} {
		ours, theirs, err := api.Pair("supervisor")
		if err != nil {
			t.Fatal(err)
		}
		m := running(t)
		m.supervisor = ours
		if !started {
			m.start = nil
		}
		theirs.Close()
		m.serve(ours)
		if m.supervisor != nil {
			t.Error("the supervisor that has gone is still told")
		}
		if ended := len(m.ended) == 1; ended == started {
			t.Errorf("started %t, ended %t", started, ended)
		}
		m.tell(KindExited, nil) // nobody: must not fail
	}
}

// withChild adds a program, started and a pair of sockets to its pid 1.
func withChild(t *testing.T, m *monitor, script string) (supervisor *api.Conn) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	control, pid1, err := api.Pair("pid1")
	if err != nil {
		t.Fatal(err)
	}
	pid1.Close() // as execve does
	if m.child, err = newChild(cmd.Process.Pid, control); err != nil {
		t.Fatal(err)
	}
	ours, supervisor, err := api.Pair("supervisor")
	if err != nil {
		t.Fatal(err)
	}
	m.supervisor = ours
	t.Cleanup(func() { supervisor.Close(); ours.Close() })
	return supervisor
}

func TestEndIsToldAndKept(t *testing.T) {
	m := running(t)
	m.status = api.Status{State: api.Created}
	w := join(t, m)
	supervisor := withChild(t, m, "exit 9")
	m.follow()
	for _, want := range []string{KindStarted, KindExited} {
		p := kind(t, supervisor)
		p.CloseFiles()
		if p.Kind != want {
			t.Errorf("the supervisor is told %s, want %s", p.Kind, want)
		}
	}
	for _, want := range []string{api.KindStarted, api.KindExited} {
		if p := kind(t, w.conn); p.Kind != want {
			t.Errorf("the client is told %s, want %s", p.Kind, want)
		}
	}
	var kept api.Status
	data, err := os.ReadFile(filepath.Join(m.prepare.Dir, "state.json"))
	if err != nil || json.Unmarshal(data, &kept) != nil {
		t.Fatalf("state.json: %v: %s", err, data)
	}
	if kept.State != api.Exited || kept.ExitCode != 9 || kept.FinishedAt.Before(kept.StartedAt) || kept.StartedAt.IsZero() {
		t.Errorf("kept %+v", kept)
	}
	if code := <-m.ended; code != 0 {
		t.Errorf("the monitor ends with %d", code)
	}
}

// After a sandbox with --rm the monitor is as new.
func TestMonitorServesAgain(t *testing.T) {
	m := listening(t)
	m.start.Brief = true
	m.status = api.Status{State: api.Created}
	supervisor := withChild(t, m, "kill -9 $$")
	socket := m.prepare.Socket
	m.follow()
	var last *api.Packet
	var status api.Status
	for last = kind(t, supervisor); last.Kind != KindIdle; last = kind(t, supervisor) {
		last.CloseFiles()
		if last.Kind == KindExited && (last.Decode(&status) != nil || status.ExitCode != 137) {
			t.Errorf("told %+v", status)
		}
	}
	if status.State != api.Exited || m.child != nil || m.start != nil || m.status.State != api.Created || m.prepare.ID != "" {
		t.Errorf("told %+v, and now has %+v", status, m.status)
	}
	if conn, err := api.Dial(socket, false); err == nil {
		// Accepted or not, nobody answers for the sandbox that is gone.
		if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if p, err := conn.Recv(); err == nil {
			t.Errorf("the old socket answers %+v", p)
		}
		conn.Close()
	}
	if len(m.ended) != 0 {
		t.Error("the monitor ends")
	}
}

func TestFailureToStart(t *testing.T) {
	m := running(t)
	m.status = api.Status{State: api.Created}
	w := join(t, m)
	supervisor := withChild(t, m, "exec sleep 1000")
	m.fail(api.Errorf("exec", "prog", "no").WithCode(127))
	if p := kind(t, supervisor); p.Kind != KindFault || p.Error.Code != 127 {
		t.Errorf("the supervisor is told %+v", p)
	}
	if p := kind(t, w.conn); p.Kind != api.KindFault || p.Error.Code != 127 {
		t.Errorf("the client is told %+v", p)
	}
	if _, err := w.conn.Recv(); err != io.EOF {
		t.Errorf("then: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(m.prepare.Dir, "state.json"))
	if err != nil || !strings.Contains(string(data), `"created"`) || !strings.Contains(string(data), "exec prog: no") {
		t.Errorf("%s, %v", data, err)
	}
	if err := m.child.signal(9); err != nil {
		t.Errorf("a signal for a program that is gone: %v", err)
	}
	if len(m.ended) != 1 {
		t.Error("the monitor goes on")
	}
}
