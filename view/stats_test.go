package view

import (
	"strings"
	"testing"

	"sbx/api"
)

func ptr[T any](v T) *T { return &v }

func usages() []Usage {
	return []Usage{
		{
			Asked: "web", ID: id("3b1f"), Name: "web", CPU: ptr(150.256), Memory: ptr(uint64(96 << 20)), MemoryLimit: 256 << 20,
			Net: &Traffic{1234, 56789000}, Block: &Traffic{0, 4096}, Tasks: ptr(uint64(7)),
		},
		{Asked: id("77aa"), ID: id("77aa"), Name: "stopped", CPU: ptr(0.0), Memory: ptr(uint64(0)), Net: &Traffic{}, Block: &Traffic{}, Tasks: ptr(uint64(0))},
		{Asked: id("9c"), ID: id("9c"), Name: "unknown"},
	}
}

func TestStats(t *testing.T) {
	for name, req := range map[string]api.Stats{
		"table":    {},
		"no-trunc": {NoTrunc: true},
		"json":     {Format: "json"},
		"template": {Format: `table {{.Container}}\t{{.Name}}\t{{.CPUPerc}}`},
	} {
		text, err := Stats(usages(), req)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "stats-"+name+".golden", text)
	}
	if text, err := Stats(nil, api.Stats{}); err != nil || strings.Count(text, "\n") != 1 {
		t.Errorf("without sandboxes: %q, %v", text, err)
	}
	if _, err := Stats(usages(), api.Stats{Format: "{{.Memory}}"}); err == nil {
		t.Error("a placeholder that does not exist: no error")
	}
}
