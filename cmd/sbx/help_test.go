package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Every command is explained with an example of it, and has a manual page.
func TestEveryCommandHasAnExample(t *testing.T) {
	script, err := os.ReadFile("../../contrib/mkman")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(script), "commands='")
	list, _, _ = strings.Cut(list, "'")
	pages := strings.Fields(list)
	for _, construct := range constructors() {
		c := construct()
		if c.group == groupHidden {
			continue
		}
		if !strings.Contains(c.examples, "sbx "+c.name) {
			t.Errorf("the examples of %s show no \"sbx %s\":\n%s", c.name, c.name, c.examples)
		}
		if page := strings.ReplaceAll(c.name, " ", "-"); c.name != "help" && !slices.Contains(pages, page) {
			t.Errorf("contrib/mkman writes no page for %s", c.name)
		}
	}
}
