package userns

import (
	"math/rand/v2"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestParseMap(t *testing.T) {
	got, err := ParseMap("         0       1000          1\n         1     100000      65536\n")
	want := []Extent{{0, 1000, 1}, {1, 100000, 65536}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", got, err)
	}
	if same := Identity(got); !reflect.DeepEqual(same, []Extent{{0, 0, 1}, {1, 1, 65536}}) {
		t.Errorf("identity %v", same)
	}
	for _, bad := range []string{"0 1", "0 1 2 3", "0 x 1", "-1 0 1", "0 0 99999999999"} {
		if got, err := ParseMap(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestKeepID(t *testing.T) {
	usual := []Extent{{0, 0, 1}, {1, 1, 65536}}
	for _, c := range []struct {
		extents []Extent
		id      int
		want    []Extent
	}{
		{usual, 1000, []Extent{{0, 1, 1000}, {1000, 0, 1}, {1001, 1001, 64536}}},
		{usual, 1, []Extent{{0, 1, 1}, {1, 0, 1}, {2, 2, 65535}}},
		{usual, 0, []Extent{{0, 0, 1}, {1, 1, 65536}}},
		{usual, 65536, []Extent{{0, 1, 65536}, {65536, 0, 1}}},
		{usual, 1 << 20, []Extent{{0, 1, 65536}, {1 << 20, 0, 1}}},
		{[]Extent{{0, 0, 1}}, 1000, []Extent{{1000, 0, 1}}},
		{[]Extent{{0, 0, 1}, {1, 1, 500}, {501, 501, 1000}}, 1000, []Extent{{0, 1, 500}, {500, 501, 500}, {1000, 0, 1}, {1001, 1001, 500}}},
	} {
		if got := KeepID(c.extents, c.id); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v, %d: %v, want %v", c.extents, c.id, got, c.want)
		}
	}
}

// Whatever is mapped outside: every id keeps exactly one meaning, the user is
// where it belongs, and no extent crosses a border of the parent's.
func TestKeepIDIsBijection(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		extents := []Extent{{0, 0, 1}}
		next := 1
		for range r.IntN(4) {
			n := 1 + r.IntN(40)
			extents = append(extents, Extent{next, next, n})
			next += n
		}
		id := r.IntN(150)
		kept := KeepID(extents, id)
		inside, outside := map[int]int{}, map[int]bool{}
		for _, e := range kept {
			if !slices.ContainsFunc(extents, func(p Extent) bool {
				return e.Outside >= p.Inside && e.Outside+e.Length <= p.Inside+p.Length
			}) {
				t.Fatalf("%v, %d: %v crosses a border in %v", extents, id, e, kept)
			}
			for i := range e.Length {
				if _, twice := inside[e.Inside+i]; twice || outside[e.Outside+i] || e.Inside+i < 0 {
					t.Fatalf("%v, %d: id mapped twice in %v", extents, id, kept)
				}
				inside[e.Inside+i], outside[e.Outside+i] = e.Outside+i, true
			}
		}
		if own, ok := inside[id]; !ok || own != 0 {
			t.Fatalf("%v: inside %d is not the user in %v", extents, id, kept)
		}
		if len(outside) != next {
			t.Fatalf("%v, %d: %d of %d ids in %v", extents, id, len(outside), next, kept)
		}
	}
}

// The kernel has the last word on a map.
func TestKeepIDInKernel(t *testing.T) {
	uids, gids, err := Mapping()
	if err != nil {
		t.Fatal(err)
	}
	const id = 1000
	cmd := exec.Command("cat", "/proc/self/uid_map")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER,
		UidMappings:                SysProcIDMap(KeepID(uids, id)),
		GidMappings:                SysProcIDMap(KeepID(gids, id)),
		GidMappingsEnableSetgroups: true,
		Credential:                 &syscall.Credential{Uid: id, Gid: id},
	}
	if syscall.Geteuid() != 0 {
		t.Skip("needs to be root, of a user namespace at least, to write a map of several ids")
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(strings.Join(strings.Fields(string(out)), " "), "1000 0 1") {
		t.Errorf("map is %s", out)
	}
}
