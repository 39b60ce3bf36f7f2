package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// daemon makes the test binary the supervisor that the command line starts.
func (h home) daemon(args ...string) result {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := h.command(args...)
	cmd.Env = append(cmd.Env, "SBXD="+self, "SECRET=x", "LANG=C")
	return finish(h.t, cmd)
}

// TestLaunch: the first command starts the supervisor, in the root directory and
// with little of the environment.
func TestLaunch(t *testing.T) {
	h := newHome(t)
	got := h.daemon("ps")
	if got.code != 0 || got.err != "" || !strings.HasPrefix(got.out, "args [sbxd parent] cwd / env ") {
		t.Fatalf("%+v", got)
	}
	for _, name := range []string{"SECRET", "FROM_HERE", "SBXD"} {
		if _, env, _ := strings.Cut(got.out, " env "); strings.Contains(","+strings.TrimSpace(env)+",", ","+name+",") {
			t.Errorf("the supervisor has %s: %s", name, env)
		}
	}
	for _, dir := range []string{h.data, h.run} {
		if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, st, err)
		}
	}
}

func TestLaunchFaults(t *testing.T) {
	for say, want := range map[string]string{
		`{"error":{"op":"write uid_map","msg":"no subordinate ids","hint":"add a line to /etc/subuid"}}` + "\n": "write uid_map: no subordinate ids: add a line to /etc/subuid",
		"half a word": "start the supervisor: it ended before it was ready: see LOG",
		"panic\n":     "start the supervisor: panic: see LOG",
	} {
		h := newHome(t)
		t.Setenv("SBX_TEST_SAY", say)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := h.command("ps")
		cmd.Env = append(cmd.Env, "SBXD="+self, "SBX_TEST_SAY="+say)
		want = "sbx: " + strings.ReplaceAll(want, "LOG", h.data+"/sbxd.log") + "\n"
		finish(t, cmd).want(t, result{err: want, code: 1})
	}
	h := newHome(t)
	h.sbx("run", "img").want(t, result{err: "sbx: start the supervisor " + h.dir + "/missing: no such file or directory\n", code: 125})
	got := h.sbx("version")
	if got.out != "Client:\n Version: 0.1.0-dev\n" || got.code != 1 {
		t.Errorf("version without a supervisor: %+v", got)
	}
}

// TestOneSupervisor: many first commands at once start one supervisor; the others
// wait for it.
func TestOneSupervisor(t *testing.T) {
	h := newHome(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	starts := filepath.Join(h.dir, "starts")
	script := filepath.Join(h.dir, "sbxd")
	text := fmt.Sprintf("#!/bin/bash\necho started >>%s\nexec -a sbxd %s parent\n", starts, self)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			cmd := h.command("ps")
			cmd.Env = append(cmd.Env, "SBXD="+script, "SBX_TEST_SERVE=8")
			if r := finish(t, cmd); r.code != 0 || !strings.HasPrefix(r.out, "args ") {
				t.Errorf("%+v", r)
			}
		})
	}
	wg.Wait()
	if got, err := os.ReadFile(starts); string(got) != "started\n" || err != nil {
		t.Errorf("starts: %q, %v", got, err)
	}
}

func TestOldSupervisor(t *testing.T) {
	h := newHome(t)
	h.fakeHello(api.Hello{Protocol: api.Protocol + 1, Version: "test"}, func(*api.Conn, *api.Packet) error { return nil })
	got := h.sbx("ps")
	want := fmt.Sprintf("sbx: talk to the supervisor: it is version test with protocol %d, this is sbx 0.1.0-dev with protocol %d: "+
		"kill %d, and try again; running sandboxes survive that. If that does not help, install sbx and sbxd of one version\n", api.Protocol+1, api.Protocol, os.Getpid())
	got.want(t, result{err: want, code: 1})
}

// One that was started with another data directory does not answer for this one.
func TestOtherData(t *testing.T) {
	h := newHome(t)
	h.fakeHello(api.Hello{Protocol: api.Protocol, Data: "/elsewhere"}, func(*api.Conn, *api.Packet) error { return nil })
	h.sbx("ps").want(t, result{code: 1, err: "sbx: use SBX_DATA " + h.data + ": the supervisor at " + h.run + " keeps its data in /elsewhere: " +
		"set SBX_RUN to a directory that is this one's alone, too\n"})
}

// TestSupervisorGoingAway: one that ends before its hello is asked again.
func TestSupervisorGoingAway(t *testing.T) {
	h := newHome(t)
	fd, err := listen(filepath.Join(h.run, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	requests := make(chan string, 10)
	go func() {
		for n := 0; ; n++ {
			c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err != nil {
				return
			}
			if n < 3 {
				unix.Close(c)
				continue
			}
			conn, err := api.ConnFd(c, "client")
			if err != nil {
				return
			}
			conn.Send(api.KindHello, api.Hello{Protocol: api.Protocol, Data: h.data})
			if p, err := conn.Recv(); err == nil {
				requests <- p.Kind
			}
			conn.Send(api.KindDone, api.Done{Text: "served"})
			conn.Close()
		}
	}()
	h.sbx("ps").want(t, result{out: "served\n"})
	if len(requests) != 1 {
		t.Errorf("%d requests were served", len(requests))
	}
	unix.Shutdown(fd, unix.SHUT_RDWR)
}

// TestForeignSocket: a socket that another user listens on is not talked to.
func TestForeignSocket(t *testing.T) {
	conn, other, err := api.Pair("test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer other.Close()
	if err := checkPeer(conn, os.Getuid(), "/run/sock"); err != nil {
		t.Error(err)
	}
	err = checkPeer(conn, os.Getuid()+1, "/run/sock")
	want := fmt.Sprintf("connect /run/sock: uid %d listens there, not you: set SBX_RUN to a directory of your own", os.Getuid())
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
