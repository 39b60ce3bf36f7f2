package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// past are the recorded events that the filters choose, printed by a format.
func (e *Env) past(format string, filters ...string) []string {
	e.t.Helper()
	args := []string{"events", "--since", "1h", "--until", "0s", "--format", format}
	for _, f := range filters {
		args = append(args, "--filter", f)
	}
	out := e.OK(args...)
	if out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}

// eventuallyPast waits for what is told after the answer of a command.
func (e *Env) eventuallyPast(want []string, format string, filters ...string) {
	e.t.Helper()
	var got []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = e.past(format, filters...); slices.Equal(got, want) {
			return
		}
	}
	e.t.Errorf("events %q: %q, want %q", filters, got, want)
}

func TestEvents(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	all := e.Start("events", "--filter", "type=container", "--format", "{{.Action}} {{.Actor.Attributes.name}}")
	text := e.Start("events", "--filter", "event=die")
	raw := e.Start("events", "--filter", "label=colour=red", "--format", "json")
	e.awaitFollowers(3)
	e.OK("run", "--name", "one", "--rm", "-l", "colour=red", "host", "true")
	e.Run("run", "--name", "two", "--network", "none", "host", "sh", "-c", "exit 3")
	e.OK("rename", "two", "zwei")
	e.OK("rm", "zwei")
	all.Expect("destroy zwei\n")
	// With --rm the end comes before the removal, which nobody waits for.
	want := []string{"create one", "attach one", "start one", "die one", "destroy one", "create two", "attach two", "start two", "die two", "rename zwei", "destroy zwei"}
	got := strings.Split(strings.TrimSpace(all.out.String()), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("events: %q", got)
	}
	e.eventuallyPast([]string{"create", "attach", "start", "die", "destroy"}, "{{.Action}}", "container=one")

	text.Expect("name=two)\n")
	line := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\S+ container die [0-9a-f]{64} \(colour=red, execDuration=0, exitCode=0, image=host, name=one\)\n` +
		`\S+ container die [0-9a-f]{64} \(execDuration=0, exitCode=3, image=host, name=two\)\n$`)
	if out := text.out.String(); !line.MatchString(out) {
		t.Errorf("as text: %q", out)
	}
	raw.Expect(`"Action":"destroy"`)
	first, _, _ := strings.Cut(raw.out.String(), "\n")
	var event map[string]any
	if err := json.Unmarshal([]byte(first), &event); err != nil {
		t.Fatal(err)
	}
	actor, _ := event["Actor"].(map[string]any)
	if event["status"] != "create" || event["id"] != actor["ID"] || event["from"] != "host" || event["Type"] != "container" || event["Action"] != "create" ||
		event["scope"] != "local" || event["time"] == nil || event["timeNano"] == nil {
		t.Errorf("as JSON: %s", first)
	}
	for _, p := range []*Proc{all, text, raw} {
		p.Signal(2)
		if r := p.Wait(); r.Code != 130 || r.Err != "" {
			t.Errorf("after an interrupt: %+v", r)
		}
	}
}

func TestEventsOfVerbs(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "box", "host", "sleep", "1000")
	e.OK("exec", "box", "sh", "-c", "true")
	e.Run("exec", "box", "sh", "-c", "exit 5")
	e.Run("exec", "box", "no-such")
	// The end of one is told to the command line and to the supervisor at a time: the
	// next command may come first.
	const form = "{{.Action}}{{with .Actor.Attributes.exitCode}} {{.}}{{end}}"
	e.eventuallyPast([]string{"exec_create: sh -c true", "exec_start: sh -c true", "exec_create: sh -c exit 5", "exec_start: sh -c exit 5",
		"exec_create: no-such", "exec_start: no-such"}, form, "event=exec_create", "event=exec_start")
	e.eventuallyPast([]string{"exec_die 0", "exec_die 5", "exec_die 127"}, form, "event=exec_die")
	e.OK("kill", "-s", "WINCH", "box")
	e.OK("stop", "-t", "0", "box")
	e.OK("start", "box")
	e.OK("restart", "-t", "0", "box")
	e.OK("update", "--restart", "always", "box")
	e.OK("rm", "-f", "box")
	verbs := []string{"create", "start", "kill 28", "kill 15", "kill 9", "die", "stop", "start", "kill 15", "kill 9", "die", "stop", "start", "restart", "update", "kill 9", "die", "destroy"}
	e.eventuallyPast(verbs, "{{.Action}}{{with .Actor.Attributes.signal}} {{.}}{{end}}", "container=box",
		"event=create", "event=start", "event=kill", "event=die", "event=stop", "event=restart", "event=update", "event=destroy")

	e.OK("network", "create", "net")
	e.OK("run", "--rm", "--network", "net", "host", "true")
	e.eventuallyPast([]string{"create", "connect", "disconnect"}, "{{.Action}}", "network=net")
	e.OK("network", "rm", "net")
	e.eventuallyPast([]string{"create", "connect", "disconnect", "destroy"}, "{{.Action}}", "type=network", "network=net")

	e.Fails(1, "no such filter", "events", "--filter", "colour=red")
	e.Fails(1, "neither a time", "events", "--since", "soon")
	e.Fails(1, "NoSuch", "events", "--format", "{{.NoSuch}}")
}

func TestEventsOfImages(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("tag", image, "other")
	e.OK("rmi", "other")
	file := e.Home + "/image.tar"
	e.OK("save", "-q", "-o", file, image)
	e.OK("rmi", image)
	e.OK("load", "-q", "-i", file)
	actions := e.past("{{.Action}}", "type=image")
	if want := []string{"import", "tag", "untag", "save", "untag", "delete", "load"}; !slices.Equal(actions, want) {
		t.Errorf("events: %q, want %q", actions, want)
	}
	if id := e.past("{{.ID}}", "event=import")[0]; !strings.HasPrefix(id, "sha256:") || len(id) != 71 {
		t.Errorf("id of an image: %q", id)
	}
	e.Is("0", "wait", e.OK("run", "-d", "--name", "box", image, "true"))
	if n := len(e.past("{{.Action}}", "image="+image, "event=start")); n != 1 {
		t.Errorf("%d starts from the image", n)
	}
}

// What is recorded outlives the supervisor, and who follows goes on with the next.
func TestEventsOutliveTheSupervisor(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	follow := e.Start("events", "--filter", "type=container", "--format", "{{.Action}} {{.Actor.Attributes.name}}")
	e.awaitFollowers(1)
	e.OK("run", "-d", "--name", "runs", "host", "sleep", "1000")
	follow.Expect("start runs\n")
	e.Eventually("it is recorded", func() bool {
		text, err := os.ReadFile(e.Data + "/events.json")
		return err == nil && strings.Contains(string(text), `"start"`)
	})
	e.fell(e.roles()["supervisor"][0])
	e.OK("run", "--rm", "--name", "later", "host", "true")
	e.OK("stop", "-t", "0", "runs")
	follow.Expect("stop runs\n")
	follow.Signal(2)
	follow.Wait()
	e.eventuallyPast([]string{"create", "start", "kill", "kill", "die", "stop"}, "{{.Action}}", "type=container", "container=runs")
	starts := e.past("{{.Actor.Attributes.name}}", "event=start")
	if !slices.Equal(starts, []string{"runs", "later"}) {
		t.Errorf("starts: %q", starts)
	}
	// A line that a crash has cut short is passed over.
	e.Instance.Kill()
	text, err := os.ReadFile(e.Data + "/events.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(e.Data+"/events.json", append(text, `{"status":"sta`...), 0o600); err != nil {
		t.Fatal(err)
	}
	e.OK("run", "--rm", "--name", "last", "host", "true")
	e.Eventually("the rest is there", func() bool {
		return slices.Equal(e.past("{{.Actor.Attributes.name}}", "event=start"), []string{"runs", "later", "last"})
	})
}

// One who does not read holds nobody up, and is told what was missed.
func TestEventsNobodyReads(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := e.Command(t.Context(), "events", "--format", `{{printf "%9999s" .Action}}`)
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout = w
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	e.awaitFollowers(1)
	e.OK("run", "-d", "--name", "box", "host", "sleep", "1000")
	var names []string
	for range 200 {
		names = append(names, "box")
	}
	for range 7 { // of 200 events each: more than there is room for
		e.OK(append([]string{"kill", "-s", "WINCH"}, names...)...)
	}
	e.Is("box", "ps", "--format", "{{.Names}}")
	told := make(chan string)
	go func() {
		buf := make([]byte, 4096)
		n, _ := errs.Read(buf)
		told <- string(buf[:n])
	}()
	go func() {
		buf := make([]byte, 1<<20)
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	}()
	select {
	case text := <-told:
		if ok, _ := regexp.MatchString(`^sbx: events: \d+ were left out`, text); !ok {
			t.Errorf("stderr: %q", text)
		}
	case <-time.After(patience):
		t.Error("nothing is said about what was left out")
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || !strings.Contains(fmt.Sprint(err), "interrupt") && !strings.Contains(fmt.Sprint(err), "130") {
		t.Errorf("after an interrupt: %v", err)
	}
}
