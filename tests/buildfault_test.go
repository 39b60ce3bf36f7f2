package tests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// nothingOfBuilds waits until no step of a build runs and nothing of one is left but
// what later builds take.
func (e *Env) nothingOfBuilds(after string) {
	e.t.Helper()
	e.Eventually("no sandbox of a build is left after "+after, func() bool {
		for _, p := range e.Processes() {
			if strings.Contains(strings.Join(p.Args, " "), "step-of-a-build") || len(p.Args) > 1 && p.Args[0] == "sleep" && p.Args[1] == "98765" {
				return false
			}
		}
		return e.OK("ps", "-aq") == ""
	})
	e.noneLeft()
}

// Ctrl-C ends a build at once; what was finished is not done again.
func TestBuildInterrupted(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	const first = "RUN echo first step-of-a-build\n"
	dir := e.contextOf("context", "Dockerfile", "FROM "+image+"\n"+first+"RUN echo in; sleep 98765\n")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		p := e.Start("build", "--progress", "plain", "-t", "made", dir)
		if p.errs.wait(0, " in\n", patience) < 0 {
			t.Fatalf("the step does not run: %s", p.errs.String())
		}
		start := time.Now()
		p.Signal(signal)
		if r := p.Wait(); r.Code != 128+int(signal) || r.Out != "" {
			t.Errorf("%v: %+v", signal, r)
		}
		if took := time.Since(start); took > patience/3 {
			t.Errorf("%v: it took %v to end", signal, took)
		}
		e.nothingOfBuilds(signal.String())
	}
	if r := e.Run("image", "inspect", "made"); r.Code == 0 {
		t.Error("there is an image")
	}
	r := e.built("FROM " + image + "\n" + first)
	if !strings.Contains(r.Err, "CACHED") {
		t.Errorf("the first step is done again:\n%s", r.Err)
	}
}

// kill -9 of whoever builds, in the middle of a step: the command says so, and the
// next supervisor takes away what is left.
func TestBuildKilled(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"supervisor", "sbx-keeper", "parent"} {
		t.Run(role, func(t *testing.T) {
			e := Sbx(t)
			image := e.Busybox()
			empty := e.usage()
			p := e.Start("build", "--progress", "plain", "-t", "made",
				e.contextOf("context", "Dockerfile", "FROM "+image+"\nRUN echo first\nRUN dd if=/dev/zero of=/big bs=1M count=20; echo in; sleep 98765\n"))
			if p.errs.wait(0, " in\n", patience) < 0 {
				t.Fatalf("the step does not run: %s", p.errs.String())
			}
			for _, victim := range e.roles()[role] {
				e.fell(victim)
			}
			if r := p.Wait(); r.Code == 0 || r.Out != "" || strings.Contains(r.Err, "goroutine") {
				t.Errorf("the build: %+v", r)
			}
			e.OK("images", "-q")
			e.nothingOfBuilds("the death of the " + role)
			e.Eventually("the disk is given back", func() bool { return e.usage()+e.subUsage() < empty+10<<20 })
			if r := e.built("FROM " + image + "\nRUN echo first\n"); !strings.Contains(r.Err, "CACHED") {
				t.Errorf("the first step is done again:\n%s", r.Err)
			}
		})
	}
}

// What a RUN leaves running ends with it, and does not hold it up.
func TestBuildDaemons(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	start := time.Now()
	e.built("FROM " + image + "\nRUN (setsid sleep 98765 &) ; (trap '' TERM HUP INT; sleep 98765 >/dev/null 2>&1) & sleep 0.2; echo over\n" +
		"RUN ! pgrep sleep\n")
	if took := time.Since(start); took > patience {
		t.Errorf("it took %v", took)
	}
	e.nothingOfBuilds("a daemon")
}

// The disk is full, in a RUN, in a COPY, and when a layer is kept: a clear error, no
// image, and it works again when there is room.
func TestBuildDiskFull(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	j := e.jail("mount -t tmpfs -o mode=700,size=40m sbx-full " + e.Data)
	j.must(nil, "import", os.Getenv("SBX_TEST_BUSYBOX"), "busybox")
	for name, step := range map[string]string{
		"run":   "RUN dd if=/dev/zero of=/big bs=1M count=100",
		"copy":  "COPY big /",
		"layer": "RUN for i in 1 2 3 4 5 6; do dd if=/dev/urandom of=/big$i bs=1M count=4 2>/dev/null; done\nRUN cat /big* >/more",
	} {
		dir := e.contextOf("context-"+name, "Dockerfile", "FROM busybox\n"+step+"\n", "big", strings.Repeat("0123456789abcdef", 4<<20))
		for range 2 {
			if r := j.Run(nil, "build", "--progress", "plain", "-t", "made", dir); r.Code != 1 || !strings.Contains(r.Err, "space") || strings.Contains(r.Err, "goroutine") || r.Out != "" {
				t.Errorf("%s: status %d, %q\n%s", name, r.Code, r.Out, r.Err)
			}
		}
		// The last good state, to look into, has no name.
		j.must(nil, "image", "prune", "-f")
		j.must(nil, "builder", "prune", "-a", "-f")
	}
	if out := j.must(nil, "images", "-q"); strings.Count(out, "\n") != 0 {
		t.Errorf("images: %q", out)
	}
	dir := e.contextOf("context-fine", "Dockerfile", "FROM busybox\nRUN echo fine >/f\n")
	j.must(nil, "build", "-q", "-t", "made", dir)
	j.works("made")
}

// A step that makes very many files.
func TestBuildManyFiles(t *testing.T) {
	t.Parallel()
	Sbx(t).manyFiles(100, 300)
}

// manyFiles builds with so many directories of so many files each, and looks whether
// they are all there for the next step and in the image.
func (e *Env) manyFiles(dirs, each int) {
	e.t.Helper()
	dir := e.contextOf("context", "Dockerfile", fmt.Sprintf("FROM %s\nRUN i=0; while [ $i -lt %d ]; do mkdir -p /d/$i; cd /d/$i; j=0; while [ $j -lt %d ]; do : >$j; j=$((j+1)); done; i=$((i+1)); done\n"+
		"RUN find /d -type f | wc -l >/n\nRUN rm -r /d/1\nRUN find /d -type f | wc -l >/m\n", e.Busybox(), dirs, each))
	ctx, cancel := context.WithTimeout(e.t.Context(), 20*patience)
	defer cancel()
	if out, err := e.Command(ctx, "build", "--progress", "plain", "-t", "made", dir).CombinedOutput(); err != nil {
		e.t.Fatalf("build: %v\n%s", err, out)
	}
	e.Is(fmt.Sprintf("%d\n%d", dirs*each, (dirs-1)*each), "run", "--rm", "--network", "none", "made", "cat", "/n", "/m")
}

// A step that takes more memory than -m gives is killed, and nothing else is.
func TestBuildMemory(t *testing.T) {
	t.Parallel()
	Need(t, "cgroups")
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "bystander", image, "sleep", "1000")
	r := e.dockerfile("FROM "+image+"\nRUN echo small\nRUN tail /dev/zero\n", "-m", "64m")
	if r.Code != 1 || !strings.Contains(r.Err, "memory") || !strings.Contains(r.Err, "Dockerfile:3") {
		t.Errorf("status %d\n%s", r.Code, r.Err)
	}
	e.Is("true", "inspect", "-f", "{{.State.Running}}", "bystander")
}

// Several builds at once, of the same and of different things: each is right, and
// what is the same is the same image.
func TestBuildAtOnce(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	const builds = 6
	ids := make([]string, builds)
	var all sync.WaitGroup
	for n := range builds {
		dir := e.contextOf(fmt.Sprint("context-", n), "Dockerfile", "FROM "+image+"\nRUN --mount=type=cache,id=shared,sharing=locked,target=/c "+
			"test ! -e /c/busy && touch /c/busy && sleep 0.2 && rm /c/busy\nCOPY f /f\nRUN cat /f >/g\n", "f", fmt.Sprint(n%2, "\n"))
		all.Go(func() {
			r := e.build(dir, "-t", fmt.Sprint("made-", n), "--timestamp", "1000000000", "--no-cache")
			if r.Code != 0 {
				t.Errorf("build %d: %+v", n, r)
			}
			ids[n] = strings.TrimSpace(r.Out)
		})
	}
	all.Wait()
	for n := range builds {
		e.Is(fmt.Sprint(n%2), "run", "--rm", "--network", "none", fmt.Sprint("made-", n), "cat", "/g")
		if ids[n] != ids[n%2] {
			t.Errorf("build %d is %s, build %d %s", n, ids[n], n%2, ids[n%2])
		}
	}
	e.nothingOfBuilds("all builds")
}

// What a build gets as input that is no Dockerfile, no context or no file is refused
// with one error, and nothing is made.
func TestBuildBadInput(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	dir := e.contextOf("context", "Dockerfile", "FROM busybox\n", "binary", "\x7fELF\x00\x01\x02", "huge", strings.Repeat("# x\n", 1<<20), "long", "FROM busybox\nRUN "+strings.Repeat("a", 1<<20)+"\n")
	images := e.OK("images", "-q")
	for _, args := range [][]string{
		{"build"}, {"build", e.Home + "/nothing"}, {"build", dir, dir}, {"build", "-f", dir + "/nothing", dir}, {"build", "-f", dir, dir},
		{"build", "-t", "BAD NAME", dir}, {"build", "--build-arg", "", dir}, {"build", "--secret", "", dir}, {"build", "--secret", "src=x", dir}, {"build", "--secret", "id=a,what=x", dir},
		{"build", "--platform", "nowhere/nothing/at/all", dir}, {"build", "--output", "type=magic", dir}, {"build", "--progress", "dance", dir},
		{"build", "--network", "nowhere", dir}, {"build", "--add-host", "nocolon", dir}, {"build", "-f", "binary", dir}, {"build", "-f", "huge", dir},
		{"build", "--target", "nope", dir}, {"build", "--ulimit", "x", dir}, {"build", "--timestamp", "soon", dir}, {"build", filepath.Join(dir, "binary")},
		{"build", "--cache-to", "type=magic", dir}, {"build", "--allow", "everything", dir}, {"build", "--format", "zip", dir},
	} {
		if r := e.Run(args...); r.Code == 0 || r.Err == "" || r.Out != "" || strings.Contains(r.Err, "goroutine") || strings.Contains(r.Err, "panic") {
			t.Errorf("%q: status %d, out %.200q, err %.300q", args, r.Code, r.Out, r.Err)
		}
	}
	if now := e.OK("images", "-q"); now != images {
		t.Errorf("images: %q, before %q", now, images)
	}
}

// Steps are sandboxes of the builder's own: nobody sees them, in lists or in events.
func TestBuildStepsAreHidden(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	p := e.Start("build", "--progress", "plain", e.contextOf("context", "Dockerfile", "FROM "+image+"\nRUN true\nRUN echo in; sleep 98765\n"))
	if p.errs.wait(0, " in\n", patience) < 0 {
		t.Fatalf("the step does not run: %s", p.errs.String())
	}
	for _, args := range [][]string{{"ps", "-aq"}, {"stats", "--no-stream", "--format", "{{.ID}}"}, {"container", "prune", "-f"}} {
		if r := e.Run(args...); strings.Contains(r.Out, "build-") || args[0] != "container" && r.Out != "" {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if row := e.df()["Containers"]; row.TotalCount != "0" {
		t.Errorf("system df: %+v", row)
	}
	p.Signal(syscall.SIGINT)
	p.Wait()
	e.nothingOfBuilds("an interrupt")
	for _, event := range e.past("{{.Type}} {{.Action}}") {
		if strings.HasPrefix(event, "container ") || strings.HasPrefix(event, "network ") {
			t.Errorf("an event of a step: %s", event)
		}
	}
}
