package tests

import (
	"testing"
)

func TestPsFilters(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("create", "--name", "red", "--label", "team=red", "host", "true")
	e.OK("run", "-d", "--name", "blue", "--label", "team=blue", "host", "sleep", "1000")
	for filter, want := range map[string]string{
		"name=red": "red", "label=team": "blue\nred", "label=team=blue": "blue", "status=created": "red", "status=running": "blue", "name=zzz": "",
	} {
		e.Is(want, "ps", "-a", "--filter", filter, "--format", "{{.Names}}")
	}
	e.Is("blue", "ps", "-a", "-n", "1", "--format", "{{.Names}}")
	e.Fails(1, "colour", "ps", "--filter", "colour=green")
}
