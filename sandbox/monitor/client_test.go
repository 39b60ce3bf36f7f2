package monitor

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sbx/api"
	"sbx/sandbox/logfile"
)

// running is a monitor with a program that is said to run, and a log.
func running(t *testing.T) *monitor {
	t.Helper()
	dir := t.TempDir()
	log, err := logfile.Create(dir, logfile.Options{MaxFile: 1})
	if err != nil {
		t.Fatal(err)
	}
	m := &monitor{
		prepare: Prepare{ID: "box", Dir: dir}, start: &Start{}, out: &output{log: log}, ended: make(chan int, 1),
		status: api.Status{State: api.Running},
	}
	return m
}

// logged is what the log has kept, by stream.
func logged(t *testing.T, m *monitor) (string, string) {
	t.Helper()
	var out, errs strings.Builder
	if err := logfile.Read(context.Background(), m.prepare.Dir, logfile.ReadOptions{Tail: -1}, &out, &errs, nil); err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String()
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// watcher is the command line's side of a client.
type watcher struct {
	client *client
	conn   *api.Conn
	in     *os.File // its input, to be written
	out    *os.File // what it sees
	err    *os.File
}

// join adds a client with all standard files.
func join(t *testing.T, m *monitor) *watcher {
	t.Helper()
	ours, theirs, err := api.Pair("client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	w := &watcher{conn: theirs}
	var in, out, errs *os.File
	in, w.in = pipe(t)
	w.out, out = pipe(t)
	w.err, errs = pipe(t)
	var rest []*os.File
	w.client, rest, err = newClient(m, api.Stdio{In: true, Out: true, Err: true}, []*os.File{ours.File(), in, out, errs})
	if err != nil || len(rest) != 0 {
		t.Fatalf("%d files left, %v", len(rest), err)
	}
	m.out.add(w.client)
	return w
}

// all reads a stream to its end, on the side.
func all(r io.Reader) <-chan string {
	text := make(chan string, 1)
	go func() {
		data, err := io.ReadAll(r)
		if err != nil {
			data = append(data, err.Error()...)
		}
		text <- string(data)
	}()
	return text
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func kind(t *testing.T, c *api.Conn) *api.Packet {
	t.Helper()
	p, err := c.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNewClientTakesItsFiles(t *testing.T) {
	m := &monitor{out: &output{}}
	if _, _, err := newClient(m, api.Stdio{}, nil); err == nil {
		t.Error("a client without a connection was taken")
	}
	for want, stdio := range map[string]api.Stdio{
		"in out err": {In: true, Out: true, Err: true}, "out": {Out: true}, "err left": {Err: true}, "left left": {Direct: true, In: true, Out: true}, "": {},
	} {
		ours, theirs, err := api.Pair("client")
		if err != nil {
			t.Fatal(err)
		}
		files := []*os.File{ours.File()}
		for range strings.Fields(want) {
			r, _ := pipe(t)
			files = append(files, r)
		}
		c, rest, err := newClient(m, stdio, files)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range []struct {
			name string
			file *os.File
		}{{"in", c.in}, {"out", c.out}, {"err", c.err}} {
			if f.file != nil {
				got = append(got, f.name)
			}
		}
		for range rest {
			got = append(got, "left")
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%+v: got %q, want %q", stdio, got, want)
		}
		c.close()
		if _, err := theirs.Recv(); err != io.EOF {
			t.Errorf("after the close: %v", err)
		}
		theirs.Close()
	}
}

// input connects a program's standard input and gives the program's end of it.
func input(t *testing.T, m *monitor) *os.File {
	t.Helper()
	r, w := pipe(t)
	m.input = w
	return r
}

func TestInputEndsWithTheFirstClient(t *testing.T) {
	m := running(t)
	m.start = &Start{Stdin: true, Once: true}
	program := input(t, m)
	w := join(t, m)
	w.client.startInput()
	w.client.startInput() // a second call changes nothing
	write(t, w.in, "first\n")
	write(t, w.in, "second\n")
	w.in.Close()
	if got := <-all(program); got != "first\nsecond\n" {
		t.Errorf("the program has read %q", got)
	}
}

func TestInputStaysOpenForTheNextClient(t *testing.T) {
	for name, start := range map[string]*Start{"not once": {Stdin: true}, "a terminal": {Stdin: true, Once: true, TTY: true}} {
		m := running(t)
		m.start = start
		program := input(t, m)
		read := all(program)
		for _, text := range []string{"one\n", "two\n"} {
			w := join(t, m)
			w.client.startInput()
			write(t, w.in, text)
			w.in.Close()
			for { // the client's end is closed when its input has come to its end
				if _, err := w.client.in.Stat(); err != nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
		}
		write(t, m.input, "three\n")
		m.input.Close()
		if got := <-read; got != "one\ntwo\nthree\n" {
			t.Errorf("%s: the program has read %q", name, got)
		}
	}
}

// Input that comes before the program's terminal is there must wait for it.
func TestInputWaitsForTheProgram(t *testing.T) {
	m := running(t)
	m.start.Once = true
	w := join(t, m)
	w.client.startInput()
	write(t, w.in, "early\n")
	w.in.Close()
	program := input(t, m)
	w.client.startInput()
	if got := <-all(program); got != "early\n" {
		t.Errorf("the program has read %q", got)
	}
}

// A monitor that has turned to its next sandbox must survive the end of what was
// connected to the last.
func TestInputOutlivesItsSandbox(t *testing.T) {
	m := running(t)
	m.start = &Start{Stdin: true, Once: true}
	program := input(t, m)
	w := join(t, m)
	w.client.startInput()
	write(t, w.in, "x")
	if n, err := program.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	m.mu.Lock()
	m.start, m.input = nil, nil // as again does
	m.mu.Unlock()
	m.out.tell(api.KindExited, api.Done{}, true)
	if got := <-all(program); got != "" {
		t.Errorf("the program has read %q", got)
	}
}

func TestAttach(t *testing.T) {
	attach := func(m *monitor) (*api.Conn, error) {
		ours, theirs, err := api.Pair("client")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { theirs.Close() })
		return theirs, m.attach(&Attach{}, []*os.File{ours.File()})
	}
	m := running(t)
	conn, err := attach(m)
	if err != nil {
		t.Fatal(err)
	}
	var started api.Started
	if p := kind(t, conn); p.Kind != api.KindStarted || p.Decode(&started) != nil || started.ID != "box" {
		t.Errorf("the first packet is %+v", p)
	}
	if len(m.out.all()) != 1 {
		t.Errorf("%d clients", len(m.out.all()))
	}
	stopped, direct := running(t), running(t)
	stopped.status.State = api.Exited
	direct.start.Stdio.Direct = true
	for word, m := range map[string]*monitor{"not running": stopped, "straight": direct} {
		conn, err := attach(m)
		if err != nil {
			t.Fatal(err)
		}
		if p := kind(t, conn); p.Kind != api.KindFault || !strings.Contains(p.Error.Error(), word) {
			t.Errorf("want %q, got %+v", word, p)
		}
		if _, err := conn.Recv(); err != io.EOF || len(m.out.all()) != 0 {
			t.Errorf("%s: after the error: %v, %d clients", word, err, len(m.out.all()))
		}
	}
	if err := m.attach(&Attach{}, nil); err == nil {
		t.Error("nobody was attached")
	}
}
