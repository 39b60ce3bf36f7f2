package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sbx/tests/instance"
)

// matrixEnv set to "all" has TestMatrix visit every cell.
const matrixEnv = "SBX_TEST_MATRIX"

// axes are what machines differ in. A cell has one value of each.
var axes = []struct {
	name   string
	values []string
}{
	{"ids", []string{"subordinate", "one"}},
	{"session", []string{"none", "systemd"}},
	{"runtime directory", []string{"XDG", "/tmp"}},
	{"way out", []string{"pasta", "slirp4netns", "none"}},
	{"overlay", []string{"kernel", "fuse"}},
}

// cell is one value of each axis, in their order.
type cell [5]string

// allCells are those that this machine can have: without a session of systemd's half
// of them are not there.
func allCells(session bool) []cell {
	cells := []cell{{}}
	for i, axis := range axes {
		var more []cell
		for _, c := range cells {
			for _, v := range axis.values {
				if v == "systemd" && !session {
					continue
				}
				c[i] = v
				more = append(more, c)
			}
		}
		cells = more
	}
	return cells
}

// pairwise chooses cells so that each two values of different axes meet in one.
func pairwise(cells []cell) []cell {
	type pair struct {
		i, j int
		a, b string
	}
	pairs := func(c cell) (list []pair) {
		for j := range c {
			for i := range j {
				list = append(list, pair{i, j, c[i], c[j]})
			}
		}
		return list
	}
	open := map[pair]bool{}
	for _, c := range cells {
		for _, p := range pairs(c) {
			open[p] = true
		}
	}
	gain := func(c cell) (n int) {
		for _, p := range pairs(c) {
			if open[p] {
				n++
			}
		}
		return n
	}
	var chosen []cell
	for len(open) > 0 {
		best := slices.MaxFunc(cells, func(a, b cell) int { return gain(a) - gain(b) })
		chosen = append(chosen, best)
		for _, p := range pairs(best) {
			delete(open, p)
		}
	}
	return chosen
}

func TestMatrixPairsMeet(t *testing.T) {
	cells := allCells(true)
	few := pairwise(cells)
	if len(cells) != 48 || len(few) < 6 || len(few) > 10 {
		t.Errorf("%d of %d cells", len(few), len(cells))
	}
	for _, c := range cells {
		for j := range c {
			for i := range j {
				if !slices.ContainsFunc(few, func(f cell) bool { return f[i] == c[i] && f[j] == c[j] }) {
					t.Errorf("%s never meets %s", c[i], c[j])
				}
			}
		}
	}
}

// common is held by a cell that uses a runtime directory which all of the user's sbx
// share.
var common sync.Mutex

// The short way through sbx, on machines that differ in all that often does.
func TestMatrix(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	cells := allCells(probes["systemd"]() == nil)
	if os.Getenv(matrixEnv) != "all" {
		cells = pairwise(cells)
	}
	var mu sync.Mutex
	table := map[cell]string{}
	t.Cleanup(func() {
		var text strings.Builder
		for _, c := range cells {
			if table[c] == "" {
				continue // -test.run leaves it out
			}
			fmt.Fprintf(&text, "%-12s %-8s %-5s %-12s %-7s %s\n", c[0], c[1], c[2], c[3], c[4], table[c])
		}
		t.Log("ids          session  run   way out      overlay\n" + text.String())
	})
	for _, c := range cells {
		t.Run(strings.ReplaceAll(strings.Join(c[:], ","), "/", ""), func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			// Last of all, after the search for what is left.
			t.Cleanup(func() {
				result := "ok"
				switch {
				case t.Skipped():
					result = "not possible here"
				case t.Failed():
					result = "FAILED"
				}
				mu.Lock()
				defer mu.Unlock()
				table[c] = fmt.Sprintf("%-18s %.1f s", result, time.Since(began).Seconds())
			})
			c.visit(t)
		})
	}
}

// visit goes the way in a cell.
func (c cell) visit(t *testing.T) {
	switch {
	case c[3] == "pasta":
		Need(t, "pasta")
	case c[3] == "slirp4netns":
		Need(t, "slirp4netns")
	}
	if c[4] == "fuse" {
		Need(t, "fuse")
	}
	run, e := c.enter(t)
	must := func(want string, args ...string) string {
		t.Helper()
		r := run(args...)
		if r.Code != 0 || want != "" && strings.TrimSpace(r.Out) != want {
			t.Fatalf("sbx %q: %+v, want %q", args, r, want)
		}
		return strings.TrimSpace(r.Out)
	}
	must("", "import", os.Getenv("SBX_TEST_BUSYBOX"), "small")
	must("hello", "run", "--rm", "small", "echo", "hello")
	must("", "run", "-d", "--name", "box", "-p", "127.0.0.1::8000", "small", "sh", "-c", "mkdir /w; echo page >/w/index.html; exec httpd -f -p 8000 -h /w")
	must("0", "exec", "box", "id", "-u")
	page(t, must("", "port", "box", "8000/tcp"))
	if got := must("", "info", "-f", "{{.NetworkDriver}}"); got != c[3] {
		t.Errorf("the way out is %q", got)
	}
	if run := run("info", "-f", "{{.RunRoot}}"); strings.TrimSpace(run.Out) != e.Instance.Run {
		t.Errorf("%+v, want %s", run, e.Instance.Run)
	}
	if one := strings.Contains(must("", "info", "-f", "{{len .UserNamespace}} {{index .UserNamespace 0}}"), "1 0 "); one != (c[0] == "one") {
		t.Errorf("one id: %t", one)
	}
	if server := len(e.roles()["fuse-overlayfs"]) > 0; server != (c[4] == "fuse") {
		t.Errorf("fuse-overlayfs runs: %t", server)
	}
	must("box", "stop", "-t", "0", "box")
	must("box", "rm", "box")
	must("", "system", "reset", "-f")
}

// page asks for what is served at an address.
func page(t *testing.T, address string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		answer, err := client.Get("http://" + address + "/index.html")
		if err == nil {
			text, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if string(text) != "page\n" || err != nil {
				t.Errorf("%q, %v", text, err)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// enter makes the machine of a cell and gives a way to run sbx there.
func (c cell) enter(t *testing.T) (func(args ...string) Result, *Env) {
	var e *Env
	start := Sbx
	if c[0] == "one" {
		start = lone
	}
	runtime := ""
	if c[2] == "XDG" && c[1] == "none" {
		e = start(t)
		// Security modules keep pasta out of home directories.
		runtime = filepath.Join(e.Root, "xdg")
		if err := os.Mkdir(runtime, 0o700); err != nil {
			t.Fatal(err)
		}
		e.Instance.Run = filepath.Join(runtime, "sbx")
	} else {
		common.Lock()
		run := fmt.Sprintf("/tmp/sbx-%d", os.Getuid())
		if c[2] == "XDG" {
			runtime = os.Getenv("XDG_RUNTIME_DIR")
			run = filepath.Join(runtime, "sbx")
		}
		_, err := os.Lstat(run)
		conn, used := net.Dial("unixpacket", filepath.Join(run, "sock"))
		// After what Sbx looks at, which is in it.
		t.Cleanup(func() {
			if err != nil {
				if err := os.RemoveAll(run); err != nil {
					t.Error(err)
				}
			}
			common.Unlock()
		})
		if used == nil {
			conn.Close()
			t.Skipf("%s is in use", run)
		}
		e = start(t)
		e.Instance.Run = run
	}
	bus := ""
	if c[1] == "systemd" {
		bus = os.Getenv("DBUS_SESSION_BUS_ADDRESS")
	}
	e.Extra = append(e.Extra, instance.MarkEnv+"="+e.Root, "SBX_RUN=", "XDG_RUNTIME_DIR="+runtime, "DBUS_SESSION_BUS_ADDRESS="+bus)
	if c[4] == "fuse" {
		e.Extra = append(e.Extra, "SBX_OVERLAY=fuse")
	}
	missing := map[string][]string{"slirp4netns": {"pasta"}, "none": {"pasta", "slirp4netns"}}[c[3]]
	b := broken{}
	if c[0] == "one" {
		b.jailed = true
		for _, name := range missing {
			b.setup += "p=$(command -v " + name + ") && mount --bind /dev/null $(readlink -f $p) || :\n"
		}
		return e.broken(t, b), e
	}
	// Only root could take a program away; one that fails is no better.
	bin := filepath.Join(e.Home, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range missing {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho there is no "+name+" >&2\nexit 1\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	e.Extra = append(e.Extra, "PATH="+bin+":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
	return e.broken(t, b), e
}
