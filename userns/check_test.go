package userns

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func TestWithout(t *testing.T) {
	for _, c := range []struct {
		ranges []Range
		id     int
		want   []Range
	}{
		{[]Range{{100, 10}}, 50, []Range{{100, 10}}},
		{[]Range{{100, 10}}, 110, []Range{{100, 10}}},
		{[]Range{{100, 10}}, 100, []Range{{101, 9}}},
		{[]Range{{100, 10}}, 109, []Range{{100, 9}}},
		{[]Range{{100, 10}, {200, 1}}, 105, []Range{{100, 5}, {106, 4}, {200, 1}}},
		{[]Range{{100, 1}}, 100, nil},
	} {
		if got := without(c.ranges, c.id); !slices.Equal(got, c.want) {
			t.Errorf("%v without %d: %v, want %v", c.ranges, c.id, got, c.want)
		}
	}
}

func TestEnough(t *testing.T) {
	for mapped, want := range map[int]api.Level{65536: api.Green, 65535: api.Green, 1000: api.Yellow} {
		if f := enough(mapped, Static); f.Level != want || f.Level != api.Green && (f.Lost == "" || f.Text == "") {
			t.Errorf("%d: %+v", mapped, f)
		}
	}
}

// Where no namespace can be had no process is left, and the finding has a cause.
func TestEnterWithoutPrivileges(t *testing.T) {
	cmd, findings := Enter(context.Background(), Host{NoNewPrivileges: true}, func(context.Context) *exec.Cmd {
		t.Error("a process is started")
		return nil
	})
	if cmd != nil || len(findings) != 1 || findings[0].Level != api.Red || findings[0].Text == "" {
		t.Errorf("%v, %+v", cmd, findings)
	}
	if f := Restricted(unix.ENOMEM); f.Level != api.Red || f.Lost == "" || f.What != "create namespaces: cannot allocate memory" {
		t.Errorf("%+v", f)
	}
	if f := Restricted(errors.New("x")); f.What != "create namespaces: x" && f.Text == "" {
		t.Errorf("%+v", f)
	}
}
