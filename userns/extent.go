package userns

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Extent is one line of an id map: Length ids that are Inside.. in the namespace
// and Outside.. in its parent.
type Extent struct {
	Inside, Outside, Length int
}

// ParseMap reads the text of /proc/PID/uid_map or gid_map.
func ParseMap(text string) ([]Extent, error) {
	var extents []Extent
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		var n [3]int
		if len(fields) != len(n) {
			return nil, fmt.Errorf("id map line %q: want three numbers", strings.TrimSpace(line))
		}
		for i, field := range fields {
			v, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("id map line %q: %w", strings.TrimSpace(line), err)
			}
			n[i] = int(v)
		}
		extents = append(extents, Extent{n[0], n[1], n[2]})
	}
	return extents, nil
}

// Mapping returns the ids that exist in the caller's user namespace as identity
// extents, ready to be given to a nested one. An extent of a nested map must not
// cross the border of two extents of its parent (EPERM, user_namespaces(7)), so
// the borders are kept.
func Mapping() (uid, gid []Extent, err error) {
	if uid, err = mapOf("/proc/self/uid_map"); err != nil {
		return nil, nil, err
	}
	if gid, err = mapOf("/proc/self/gid_map"); err != nil {
		return nil, nil, err
	}
	return uid, gid, nil
}

func mapOf(path string) ([]Extent, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	extents, err := ParseMap(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return Identity(extents), nil
}

// Identity maps the inside ids of extents onto themselves.
func Identity(extents []Extent) []Extent {
	same := make([]Extent, len(extents))
	for i, e := range extents {
		same[i] = Extent{e.Inside, e.Inside, e.Length}
	}
	return same
}

// KeepID is the map of a nested namespace in which the user has the id that it
// has on the host, not 0: inside id is outside 0, inside 0..id-1 are outside
// 1..id, the rest stays as it is. Extents are those of Mapping. No file has to
// change its owner for it.
//
// Works with the one id of single-uid mode too, and with an id above all that
// are mapped.
func KeepID(extents []Extent, id int) []Extent {
	var kept []Extent
	for _, e := range extents {
		first, end := e.Inside, e.Inside+e.Length
		kept = appendPart(kept, first, end, 0, 1, id)
		kept = appendPart(kept, first, end, 1, id+1, -1)
		kept = appendPart(kept, first, end, id+1, end, 0)
	}
	slices.SortFunc(kept, func(a, b Extent) int { return a.Inside - b.Inside })
	return kept
}

// appendPart adds those ids of first..end-1 that are in low..high-1, moved by
// shift.
func appendPart(list []Extent, first, end, low, high, shift int) []Extent {
	first, end = max(first, low), min(end, high)
	if first >= end {
		return list
	}
	return append(list, Extent{first + shift, first, end - first})
}

// SysProcIDMap is the form in which syscall.SysProcAttr wants a map.
func SysProcIDMap(extents []Extent) []syscall.SysProcIDMap {
	ids := make([]syscall.SysProcIDMap, len(extents))
	for i, e := range extents {
		ids[i] = syscall.SysProcIDMap{ContainerID: e.Inside, HostID: e.Outside, Size: e.Length}
	}
	return ids
}
