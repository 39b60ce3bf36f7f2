package tests

import (
	"regexp"
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
