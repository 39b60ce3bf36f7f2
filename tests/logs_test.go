package tests

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestLogsOptions(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Run("run", "--name", "job", "host", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; done; printf unfinished")
	e.Is("1\n2\n3\n4\n5\nunfinished", "logs", "job")
	e.Is("5\nunfinished", "logs", "--tail", "2", "job")
	e.Is("", "logs", "--tail", "0", "job")
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z 1$`)
	if first, _, _ := strings.Cut(e.OK("logs", "-t", "job"), "\n"); !stamp.MatchString(first) {
		t.Errorf("logs -t: first line %q", first)
	}
	e.Is("", "logs", "--since", "2100-01-01T00:00:00Z", "job")
	e.Is("", "logs", "--until", "2000-01-01T00:00:00Z", "job")

	e.OK("run", "-d", "-i", "--name", "chatty", "--init", "host", "sh", "-c", "echo first; trap 'echo last; exit' TERM; while :; do sleep 0.05; done")
	follow := e.Start("logs", "-f", "chatty")
	follow.Expect("first\n")
	e.OK("stop", "chatty")
	if r := follow.Wait(); r.Out != "first\nlast\n" || r.Code != 0 {
		t.Errorf("logs -f: %+v", r)
	}
}

func TestLogsRotate(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Run("run", "--name", "chatty", "--log-opt", "max-size=100k", "--log-opt", "max-file=3", "host", "seq", "200000")
	dir := filepath.Join(e.Data, "sandboxes", e.OK("inspect", "-f", "{{.Id}}", "chatty"))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files int
	var size int64
	for _, entry := range entries {
		if strings.Contains(entry.Name(), "log") {
			st, err := entry.Info()
			if err != nil {
				t.Fatal(err)
			}
			files, size = files+1, size+st.Size()
		}
	}
	if files != 3 || size > 3*110<<10 || size < 100<<10 {
		t.Errorf("%d files, %d bytes; want 3 of 100k", files, size)
	}
	lines := strings.Split(e.OK("logs", "chatty"), "\n")
	first, err := strconv.Atoi(lines[0])
	if err != nil {
		t.Fatalf("first line %q", lines[0])
	}
	for i, line := range lines {
		if line != strconv.Itoa(first+i) {
			t.Fatalf("line %d is %q, after %d", i, line, first+i-1)
		}
	}
	if last := lines[len(lines)-1]; last != "200000" {
		t.Errorf("the last line is %q", last)
	}
	e.Is("199999\n200000", "logs", "-n", "2", "chatty")
	e.Fails(125, "max-size", "run", "--rm", "--log-opt", "max-size=nonsense", "host", "true")
	e.Fails(125, "syslog", "run", "--rm", "--log-driver", "syslog", "host", "true")
}

func TestLogsKeepEveryLine(t *testing.T) {
	e := Sbx(t)
	const lines, width = 1_000_000, 200
	e.OK("run", "-d", "--name", "flood", "host", "seq", "-f", "%0"+strconv.Itoa(width-1)+".0f", strconv.Itoa(lines))
	e.OK("ps") // the supervisor has time for others meanwhile
	e.Is("0", "wait", "flood")
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	c := e.Command(ctx, "logs", "flood")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for s := bufio.NewScanner(out); s.Scan(); {
		n++
		if got, err := strconv.Atoi(s.Text()); err != nil || got != n || len(s.Bytes()) != width-1 {
			t.Fatalf("line %d is %q", n, s.Text())
		}
	}
	if err := c.Wait(); err != nil || n != lines {
		t.Errorf("%d lines of %d, %v", n, lines, err)
	}
	e.Is(fmt.Sprintf("%0*d", width-1, lines), "logs", "--tail", "1", "flood")
}

func TestLogsTimes(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Run("run", "--name", "clock", "host", "sh", "-c", "echo early; sleep 0.1; echo late; sleep 0.1; echo err >&2")
	if r := e.Run("logs", "-t", "clock"); strings.Count(r.Out, "\n") != 2 || !strings.HasSuffix(r.Err, "Z err\n") {
		t.Fatalf("logs -t: %+v", r)
	}
	out := e.Run("logs", "-t", "clock").Out
	var times []string
	for line := range strings.Lines(out) {
		stamp, _, _ := strings.Cut(line, " ")
		times = append(times, stamp)
	}
	if got := e.Run("logs", "--since", times[1], "clock"); got.Out != "late\n" || got.Err != "err\n" {
		t.Errorf("--since the second line: %+v", got)
	}
	if got := e.Run("logs", "--until", times[0], "clock"); got.Out != "early\n" || got.Err != "" {
		t.Errorf("--until the first line: %+v", got)
	}
	if got := e.Run("logs", "--since", "1h", "clock"); got.Out != "early\nlate\n" {
		t.Errorf("--since 1h: %+v", got)
	}
	e.Fails(125, "nonsense", "logs", "--since", "nonsense", "clock")
	e.Fails(1, "no-such", "logs", "no-such")
}

func TestLogsFollow(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "-i", "--name", "talker", "host", "sh", "-c", "echo start; exec sleep 1000")
	e.Eventually("it has printed", func() bool { return e.Run("logs", "talker").Out == "start\n" })
	e.OK("kill", "talker")
	e.Is("137", "wait", "talker")
	e.Is("start", "logs", "-f", "talker") // ended: -f ends too

	e.OK("run", "-d", "--name", "counter", "host", "bash", "-c", "trap 'echo more' USR1; trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.02; done")
	e.Eventually("the traps are set", func() bool { return e.Run("logs", "counter").Out == "ready\n" })
	follow := e.Start("logs", "-f", "--tail", "1", "counter")
	follow.Expect("ready\n")
	for n := range 3 {
		e.OK("kill", "-s", "USR1", "counter")
		e.Eventually("the line is followed", func() bool { return strings.Count(follow.out.String(), "more\n") == n+1 })
	}
	e.OK("stop", "counter")
	if r := follow.Wait(); r.Out != "ready\nmore\nmore\nmore\nbye\n" || r.Code != 0 {
		t.Errorf("logs -f --tail 1: %+v", r)
	}
	// Nothing is kept of a sandbox whose output went to its caller.
	p := e.Start("run", "--rm", "--name", "direct", "host", "sh", "-c", "echo up; sleep 1000")
	p.Expect("up")
	e.Fails(1, "--rm", "logs", "direct")
	e.OK("kill", "direct")
	p.Wait()
}
