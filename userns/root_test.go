package userns

import (
	"testing"
)

func TestForRoot(t *testing.T) {
	all := []Extent{{0, 0, 1 << 32}}
	for name, c := range map[string]struct {
		host Host
		want string // "": none
	}{
		"the machine's":        {Host{UIDs: all, GIDs: all}, "1879048192:65536 1879048192:65536"},
		"no maps":              {Host{}, "1879048192:65536 1879048192:65536"},
		"that is somebody's":   {Host{Subuid: "u:1879048192:65536\n", UIDs: all, GIDs: all}, "1879113728:65536 1879113728:65536"},
		"root has ranges":      {Host{Subuid: "root:300000:70000\n", Subgid: "root:400000:1000\n", UIDs: all, GIDs: all}, "300000:70000 400000:1000"},
		"root is in its range": {Host{Subuid: "root:0:1000\n", UIDs: all, GIDs: all}, "1879048192:65536 1879048192:65536"},
		"a container":          {Host{UIDs: []Extent{{0, 0, 1}, {1, 1, 65536}}, GIDs: []Extent{{0, 0, 1}, {1, 1, 65536}}}, "1:65536 1:65536"},
		"in one piece":         {Host{UIDs: []Extent{{0, 0, 1000}}, GIDs: []Extent{{0, 0, 1000}}}, "1:999 1:999"},
		"a large container":    {Host{UIDs: []Extent{{0, 0, 200000}}, GIDs: []Extent{{0, 0, 200000}}}, "134464:65536 134464:65536"},
		"ranges of elsewhere":  {Host{Subuid: "root:300000:65536\n", Subgid: "root:300000:65536\n", UIDs: []Extent{{0, 0, 65536}}, GIDs: []Extent{{0, 0, 65536}}}, "1:65535 1:65535"},
		"one id":               {Host{UIDs: []Extent{{0, 0, 1}}, GIDs: []Extent{{0, 0, 1}}}, ""},
		"no groups":            {Host{UIDs: all, GIDs: []Extent{{0, 0, 1}}}, ""},
		"everything is taken":  {Host{Subuid: "u:1879048192:268000000\n", UIDs: []Extent{{0, 0, 65536}}, GIDs: []Extent{{0, 0, 65536}}}, "1:65535 1:65535"},
	} {
		g := ForRoot(c.host)
		got := ""
		if g != nil {
			got = g.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if g == nil {
			continue
		}
		if back, err := parseGiven(got); err != nil || *back != *g {
			t.Errorf("%s: %v, %v", name, back, err)
		}
	}
	for _, text := range []string{"", "1:2", "0:5 1:5", "1:5 0:5", "1:-1 1:1", "x:1 1:1"} {
		if g, err := parseGiven(text); err == nil {
			t.Errorf("%q: %v", text, g)
		}
	}
}

// Root without other ids is mapped, and that is told.
func TestPlanForRoot(t *testing.T) {
	if source, why := Plan(Host{UID: 0}); source != Single || why == nil || why.Hint == "" {
		t.Errorf("%v, %v", source, why)
	}
	if source, why := Plan(Host{UID: 5, Given: &Given{Range{5, 10}, Range{5, 10}}, NoNewPrivileges: true}); source != Root || why != nil {
		t.Errorf("%v, %v", source, why)
	}
}
