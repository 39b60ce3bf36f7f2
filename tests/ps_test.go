package tests

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestPsFilters(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("create", "--name", "red", "--label", "team=red", "host", "true")
	blue := e.OK("run", "-d", "--name", "blue", "--label", "team=blue", "host", "sleep", "1000")
	e.Run("run", "--name", "done", image, "sh", "-c", "exit 3")
	for _, c := range []struct {
		filters []string
		want    string
	}{
		{[]string{"name=red"}, "red"},
		{[]string{"name=e"}, "done\nblue\nred"}, // a part of the name, as in Docker
		{[]string{"name=^red$"}, "red"},
		{[]string{"name=zzz"}, ""},
		{[]string{"label=team"}, "blue\nred"},
		{[]string{"label=team=blue"}, "blue"},
		{[]string{"status=created"}, "red"},
		{[]string{"status=running"}, "blue"},
		{[]string{"status=exited"}, "done"},
		{[]string{"status=created", "status=running"}, "blue\nred"},
		{[]string{"label=team", "status=running"}, "blue"},
		{[]string{"exited=3"}, "done"},
		{[]string{"exited=0"}, ""},
		{[]string{"id=" + blue[:12]}, "blue"},
		{[]string{"ancestor=" + image}, "done"},
		{[]string{"since=blue"}, "done"},
		{[]string{"before=blue"}, "red"},
	} {
		args := []string{"ps", "-a", "--format", "{{.Names}}"}
		for _, f := range c.filters {
			args = append(args, "--filter", f)
		}
		e.Is(c.want, args...)
	}
	e.Is("done", "ps", "-a", "-n", "1", "--format", "{{.Names}}")
	e.Is("done", "ps", "-l", "--format", "{{.Names}}")
	e.Is("blue", "ps", "--format", "{{.Names}}")
	e.Fails(1, "colour", "ps", "--filter", "colour=green")
}

func TestPsColumns(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	id := e.OK("run", "-d", "--name", "box", "host", "sleep", "1000000000000000000000000")
	lines := strings.Split(e.OK("ps"), "\n")
	if len(lines) != 2 || strings.Join(strings.Fields(lines[0]), " ") != "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES" {
		t.Fatalf("ps:\n%s", strings.Join(lines, "\n"))
	}
	row := regexp.MustCompile(`^` + id[:12] + ` +host +"sleep 1000000000000…" +[^ ].* ago +Up .* +box *$`)
	if !row.MatchString(lines[1]) {
		t.Errorf("ps: row %q", lines[1])
	}
	if out := e.OK("ps", "--no-trunc"); !strings.Contains(out, id) || !strings.Contains(out, `"sleep 1000000000000000000000000"`) {
		t.Errorf("ps --no-trunc:\n%s", out)
	}
	e.Is(id, "ps", "-q", "--no-trunc")
	e.Is(id[:12]+" host box running", "ps", "--format", "{{.ID}} {{.Image}} {{.Names}} {{.State}}")
	var row1 struct{ ID, Names, State, Image, Status string }
	if err := json.Unmarshal([]byte(e.OK("ps", "--format", "json")), &row1); err != nil || row1.ID != id[:12] || row1.Names != "box" || row1.State != "running" {
		t.Errorf("ps --format json: %+v, %v", row1, err)
	}
	if out := e.OK("ps", "--format", "table {{.Names}}\t{{.State}}"); strings.Join(strings.Fields(out), " ") != "NAMES STATE box running" {
		t.Errorf("ps --format table:\n%s", out)
	}
	e.Fails(1, "Nonsense", "ps", "--format", "{{.Nonsense}}")
}
