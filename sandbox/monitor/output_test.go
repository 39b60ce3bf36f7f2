package monitor

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// program connects the two streams of a program and gives its ends.
func program(t *testing.T, m *monitor) (stdout, stderr *os.File) {
	t.Helper()
	r, stdout := pipe(t)
	m.out.copy("stdout", r)
	r, stderr = pipe(t)
	m.out.copy("stderr", r)
	return stdout, stderr
}

func TestOutputReachesAllClientsAndTheLog(t *testing.T) {
	m := running(t)
	first, second := join(t, m), join(t, m)
	stdout, stderr := program(t, m)
	var seen []<-chan string
	for _, w := range []*watcher{first, second} {
		seen = append(seen, all(w.out), all(w.err))
	}
	long := strings.Repeat("long line ", 20_000) + "\n"
	for _, text := range []string{"out\n", "no newline", long} {
		write(t, stdout, text)
	}
	write(t, stderr, "err\n")
	stdout.Close()
	stderr.Close()
	m.out.finish()
	m.out.tell(api.KindExited, api.Done{Code: 3}, true)
	for i, want := range []string{"out\nno newline" + long, "err\n", "out\nno newline" + long, "err\n"} {
		if got := <-seen[i]; got != want {
			t.Errorf("stream %d has %d bytes, want %d: %.60q", i, len(got), len(want), got)
		}
	}
	if out, errs := logged(t, m); out != "out\nno newline"+long || errs != "err\n" {
		t.Errorf("the log has %d and %d bytes", len(out), len(errs))
	}
	for _, w := range []*watcher{first, second} {
		if p := kind(t, w.conn); p.Kind != api.KindExited {
			t.Errorf("the last packet is %+v", p)
		}
		if _, err := w.conn.Recv(); err != io.EOF {
			t.Errorf("after the last packet: %v", err)
		}
	}
}

// head | sbx attach: who closes one stream keeps the other, and disturbs nobody.
func TestOutputSurvivesAClientThatCloses(t *testing.T) {
	m := running(t)
	stays, closes, goes := join(t, m), join(t, m), join(t, m)
	stdout, stderr := program(t, m)
	out, errs, other := all(stays.out), all(stays.err), all(closes.err)
	closes.out.Close()
	goes.out.Close()
	goes.err.Close()
	goes.conn.Close()
	const line = "0123456789\n"
	for range 1000 {
		write(t, stdout, line)
	}
	write(t, stderr, "err\n")
	stdout.Close()
	stderr.Close()
	m.out.finish()
	for _, w := range []*watcher{closes, goes} {
		if w.client.out != nil {
			t.Error("a file that nobody reads is still written to")
		}
	}
	if closes.client.err == nil || goes.client.err != nil {
		t.Errorf("standard error: %v of who reads it, %v of who does not", closes.client.err, goes.client.err)
	}
	m.out.tell(api.KindExited, api.Done{}, true)
	want := strings.Repeat(line, 1000)
	if got := <-out; got != want {
		t.Errorf("who stayed has %d bytes, want %d", len(got), len(want))
	}
	if a, b := <-errs, <-other; a != "err\n" || b != "err\n" {
		t.Errorf("standard error is %q and %q", a, b)
	}
	if kept, _ := logged(t, m); kept != want {
		t.Errorf("the log has %d bytes, want %d", len(kept), len(want))
	}
}

// A client that does not read holds the program up: nothing is lost, and nothing
// piles up in memory. One that goes away lets it run on.
func TestOutputHoldsTheProgramUp(t *testing.T) {
	m := running(t)
	slow, stuck := join(t, m), join(t, m)
	stdout, _ := program(t, m)
	const most = 4 << 20 // more than all pipes on the way hold
	data := []byte(strings.Repeat("0123456789abcde\n", most/16))
	if err := stdout.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := stdout.Write(data)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n >= most/2 {
		t.Fatalf("%d bytes were written to nobody, %v", n, err)
	}
	if err := stdout.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	m.out.remove(stuck.client)
	read := all(slow.out)
	if _, err := stdout.Write(data[n:]); err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	m.out.hangup("stderr") // which nobody writes
	m.out.finish()
	m.out.tell(api.KindExited, api.Done{}, true)
	if got := <-read; got != string(data) {
		t.Errorf("the client has %d bytes, want %d", len(got), len(data))
	}
	if out, _ := logged(t, m); out != string(data) {
		t.Errorf("the log has %d bytes, want %d", len(out), len(data))
	}
}

// A daemon that was handed the pipe must not keep the sandbox from ending.
func TestFinishDoesNotWaitForStrangers(t *testing.T) {
	m := running(t)
	stdout, stderr := program(t, m)
	write(t, stdout, "said\n")
	stderr.Close()
	m.out.finish() // stdout stays open
	if out, _ := logged(t, m); out != "said\n" {
		t.Errorf("the log has %q", out)
	}
}

func TestTellDropsWhoIsGone(t *testing.T) {
	m := running(t)
	here, gone := join(t, m), join(t, m)
	gone.conn.Close()
	m.out.tell(api.KindStarted, api.Started{ID: "box"}, false)
	if list := m.out.all(); len(list) != 1 || list[0] != here.client {
		t.Errorf("%d clients are left", len(list))
	}
	if p := kind(t, here.conn); p.Kind != api.KindStarted {
		t.Errorf("got %+v", p)
	}
}

func TestTerminal(t *testing.T) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	tty, err := sys.OpenPty(fd)
	if err != nil {
		t.Fatal(err)
	}
	program := os.NewFile(uintptr(tty), "tty")
	m := running(t)
	m.start = &Start{Stdin: true, TTY: true, Once: true}
	w := join(t, m)
	if err := m.terminal(os.NewFile(uintptr(fd), "ptmx")); err != nil {
		t.Fatal(err)
	}
	w.client.resize(api.Size{Rows: 7, Cols: 9})
	if size, err := unix.IoctlGetWinsize(tty, unix.TIOCGWINSZ); err != nil || size.Row != 7 || size.Col != 9 {
		t.Errorf("size %+v, %v", size, err)
	}
	write(t, w.in, "typed\n")
	buf := make([]byte, 100)
	if n, err := program.Read(buf); err != nil || string(buf[:n]) != "typed\n" {
		t.Errorf("the program reads %q, %v", buf[:n], err)
	}
	write(t, program, "answer\n")
	seen := all(w.out)
	program.Close() // EIO for the master: the end of the stream
	m.out.finish()
	m.out.tell(api.KindExited, api.Done{}, true)
	const want = "typed\r\nanswer\r\n" // the terminal echoes
	if got := <-seen; got != want {
		t.Errorf("the client sees %q, want %q", got, want)
	}
	if out, _ := logged(t, m); out != want {
		t.Errorf("the log has %q, want %q", out, want)
	}
}
