package tests

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunExitStatus(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, c := range []struct {
		name string
		want int
		args []string
	}{
		{"success", 0, []string{"host", "true"}},
		{"failure", 1, []string{"host", "false"}},
		{"own", 42, []string{"host", "sh", "-c", "exit 42"}},
		{"largest", 255, []string{"host", "sh", "-c", "exit 255"}},
		{"no such program", 127, []string{"host", "no-such-program"}},
		{"no such path", 127, []string{"host", "/no/such/program"}},
		{"not executable", 126, []string{"host", "/etc/passwd"}},
		{"a directory", 126, []string{"host", "/usr"}},
		// A first process of a pid namespace does not die of its own signals:
		// with --init the program is another one.
		{"killed", 137, []string{"--init", "host", "sh", "-c", "kill -KILL $$"}},
		{"terminated", 143, []string{"--init", "host", "sh", "-c", "kill -TERM $$"}},
		{"under init", 7, []string{"--init", "host", "sh", "-c", "exit 7"}},
	} {
		for _, keep := range []bool{false, true} {
			args := append([]string{"run"}, c.args...)
			if !keep {
				args = append([]string{"run", "--rm"}, c.args...)
			}
			if r := e.Run(args...); r.Code != c.want {
				t.Errorf("%s: sbx %q: status %d, want %d; stderr %q", c.name, args, r.Code, c.want, r.Err)
			} else if c.want >= 126 && c.want <= 127 && strings.Count(r.Err, "\n") != 1 {
				t.Errorf("%s: sbx %q: stderr is not one line: %q", c.name, args, r.Err)
			}
		}
	}
}

func TestRunFaultsAreOurs(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Fails(125, "no-such-image", "run", "-q", "--rm", "no-such-image", "true")
	e.Fails(125, "--no-such-flag", "run", "--no-such-flag", "host", "true")
	e.Fails(125, "limit memory", "run", "--rm", "--memory", "1k", "host", "true")
	e.Fails(125, "/no/such/source", "run", "--rm", "-v", "/no/such/source:/mnt", "host", "true")
	e.Fails(125, "nobody-we-know", "run", "--rm", "-u", "nobody-we-know", "host", "true")
	e.Fails(125, "bad/name", "run", "--rm", "--name", "bad/name", "host", "true")
	e.Is("", "ps", "-aq")
}

func bothWays(t *testing.T, test func(t *testing.T, e *Env, run []string)) {
	for name, run := range map[string][]string{"direct": {"run", "--rm"}, "logged": {"run"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, Sbx(t), run)
		})
	}
}

func TestRunPipes(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, e *Env, run []string) {
		if r := e.Run(append(run, "host", "sh", "-c", "echo out; echo err >&2")...); r.Out != "out\n" || r.Err != "err\n" {
			t.Errorf("stdout %q, stderr %q", r.Out, r.Err)
		}
		if r := e.RunIn("not for you", append(run, "host", "cat")...); r.Out != "" || r.Code != 0 {
			t.Errorf("without -i the program read %q, status %d", r.Out, r.Code)
		}
		if r := e.RunIn("text", append(run, "-i", "host", "sh", "-c", "cat; echo; echo end")...); r.Out != "text\nend\n" {
			t.Errorf("half-close: stdout %q, stderr %q", r.Out, r.Err)
		}
	})
}

func TestRunPipesAreBinarySafe(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, e *Env, run []string) {
		data := make([]byte, 5<<20+1)
		rng := rand.NewChaCha8([32]byte{1})
		_, _ = rng.Read(data) // it cannot fail
		r := e.RunIn(string(data), append(run, "-i", "host", "cat")...)
		if sha256.Sum256([]byte(r.Out)) != sha256.Sum256(data) {
			t.Errorf("%d bytes in, %d other bytes out; status %d, stderr %q", len(data), len(r.Out), r.Code, r.Err)
		}
	})
}

func TestRunReaderGoesAway(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, e *Env, run []string) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c := e.Command(ctx, append(run, "host", "yes")...)
		c.Stdout = w
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		buf := make([]byte, 4)
		if _, err := r.Read(buf); err != nil || string(buf) != "y\ny\n" {
			t.Fatalf("read %q, %v", buf, err)
		}
		r.Close()
		if err := c.Wait(); ctx.Err() != nil {
			t.Errorf("yes goes on without a reader: %v", err)
		}
	})
}

func TestRunEnvironment(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	t.Run("given", func(t *testing.T) {
		file := filepath.Join(e.Home, "env")
		if err := os.WriteFile(file, []byte("# comment\nFROM_FILE=a b\nHOME_DIR\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		e.Is("1 a b user", "run", "--rm", "-e", "A=1", "--env-file", file, "-e", "TERM=user", "host",
			"sh", "-c", `echo "$A $FROM_FILE $TERM"`)
	})
	t.Run("host's does not leak", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c := e.Command(ctx, "run", "--rm", "-e", "TAKEN", "host", "env")
		c.Env = append(c.Env, "SECRET=not-for-programs", "TAKEN=yes")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if s := string(out); strings.Contains(s, "SECRET") || strings.Contains(s, "SBX_") || !strings.Contains(s, "TAKEN=yes\n") {
			t.Errorf("environment inside:\n%s", s)
		}
	})
}

func TestRunWorkDir(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Is("/usr/share", "run", "--rm", "-w", "/usr/share", "host", "pwd")
	r := e.Run("run", "--rm", "-w", "/no/such/dir", "host", "pwd")
	if r.Code < 125 || !strings.Contains(r.Err, "/no/such/dir") || r.Out != "" {
		t.Errorf("a missing working directory: status %d, stdout %q, stderr %q", r.Code, r.Out, r.Err)
	}
	e.Fails(125, "relative", "run", "--rm", "-w", "relative", "host", "pwd")
}

func TestRunUser(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	ids := "id -u; id -g; id -G"
	e.Is("0\n0\n0", "run", "--rm", image, "sh", "-c", ids)
	e.Is("1000\n1000\n1000 1001", "run", "--rm", "-u", "alice", image, "sh", "-c", ids)
	e.Is("1000\n1001\n1001", "run", "--rm", "-u", "alice:extra", image, "sh", "-c", ids)
	e.Is("12\n34\n34", "run", "--rm", "-u", "12:34", image, "sh", "-c", ids)
	e.Is("/home", "run", "--rm", "-u", "alice", image, "sh", "-c", "echo $HOME")
	e.Fails(125, "mallory", "run", "--rm", "-u", "mallory", image, "id")
	e.Fails(125, "nogroup-of-ours", "run", "--rm", "-u", "alice:nogroup-of-ours", image, "id")
}

func TestRunEntrypointAndHostname(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Is("hello world", "run", "--rm", "--entrypoint", "echo", "host", "hello", "world")
	e.Is("box", "run", "--rm", "--hostname", "box", "host", "uname", "-n")

	id := e.OK("run", "-d", "host", "sleep", "1000")
	e.Is(id[:12], "exec", id, "uname", "-n")
}

func TestRunCidfile(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	file := filepath.Join(e.Home, "cid")
	id := e.OK("run", "-d", "--cidfile", file, "host", "sleep", "1000")
	if got, err := os.ReadFile(file); err != nil || string(got) != id {
		t.Errorf("cidfile holds %q, %v; run printed %q", got, err, id)
	}
	e.Fails(125, file, "run", "--rm", "--cidfile", file, "host", "true")
}
