package tests

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A program whose output nobody reads waits; it is not buffered without end and
// loses nothing.
func TestSlowReaderHoldsProgramUp(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, e *Env, run []string) {
		const lines = 300_000 // 2 MB: more than all pipes on the way hold
		shared := e.Home + "/progress"
		if err := os.Mkdir(shared, 0o755); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		c := e.Command(ctx, append(run, "-v", shared+":/mnt", "host", "sh", "-c", "seq "+strconv.Itoa(lines)+"; echo done >/mnt/done")...)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(out)
		if line, err := in.ReadString('\n'); line != "1\n" {
			t.Fatalf("first line %q, %v", line, err)
		}
		// Nobody reads on: give it the time to do what it must not.
		time.Sleep(200 * time.Millisecond)
		if _, err := os.Stat(shared + "/done"); err == nil {
			t.Error("the program went on without its reader")
		}
		for n := 2; n <= lines; n++ {
			if line, err := in.ReadString('\n'); line != strconv.Itoa(n)+"\n" {
				t.Fatalf("line %d is %q, %v", n, line, err)
			}
		}
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
			t.Errorf("after the last line %q, %v", rest, err)
		}
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(shared + "/done"); err != nil {
			t.Error(err)
		}
	})
}

// The program sees the end of its input while its output goes on, and the other
// way round.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, e *Env, run []string) {
		p := e.Start(append(run, "-i", "host", "sh", "-c", "cat; echo end of input; sleep 0.2; echo still there")...)
		if _, err := io.WriteString(p.In, "first\n"); err != nil {
			t.Fatal(err)
		}
		p.Expect("first\n")
		if err := p.In.Close(); err != nil {
			t.Fatal(err)
		}
		if r := p.Wait(); r.Out != "first\nend of input\nstill there\n" || r.Code != 0 {
			t.Errorf("%+v", r)
		}
		p = e.Start(append(run, "-i", "host", "sh", "-c", "exec >&-; cat >/dev/null; exit 4")...)
		if _, err := io.WriteString(p.In, "input"); err != nil {
			t.Fatal(err)
		}
		if err := p.In.Close(); err != nil {
			t.Fatal(err)
		}
		if r := p.Wait(); r.Code != 4 {
			t.Errorf("with its output closed: %+v", r)
		}
	})
}

func TestExecStreams(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	id := e.OK("run", "-d", "host", "sleep", "1000")
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	if r := e.RunIn(string(data), "exec", "-i", id, "cat"); r.Out != string(data) || r.Code != 0 {
		t.Errorf("%d bytes in, %d out, status %d, stderr %q", len(data), len(r.Out), r.Code, r.Err)
	}
	if r := e.RunIn("not for it", "exec", id, "cat"); r.Out != "" || r.Code != 0 {
		t.Errorf("exec without -i: %+v", r)
	}
	if r := e.Run("exec", id, "sh", "-c", "echo out; echo err >&2; exit 3"); r.Out != "out\n" || r.Err != "err\n" || r.Code != 3 {
		t.Errorf("%+v", r)
	}
}

// A file of the caller's is not handed in: the program could open it anew, with
// other rights. CVE-2024-21626 shows what a descriptor too many is worth.
func TestRedirectedFilesAreRelayed(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, e *Env, run []string) {
		in, err := os.Open("/etc/passwd")
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		want, err := os.ReadFile("/etc/passwd")
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(e.Home + "/out")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		c := e.Command(t.Context(), append(run, "-i", "host", "sh", "-c", "cat; for f in 0 1 2; do readlink /proc/self/fd/$f; done >&2")...)
		var errs bytes.Buffer
		c.Stdin, c.Stdout, c.Stderr = in, out, &errs
		if err := c.Run(); err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		if got, err := os.ReadFile(e.Home + "/out"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
		}
		for line := range strings.Lines(errs.String()) {
			if !strings.HasPrefix(line, "pipe:") {
				t.Errorf("the program holds %q", line)
			}
		}
	})
}
