package image

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// idMap holds the ids that exist in this user namespace, as [first, last] pairs.
type idMap [][2]int64

// readIDMap reads /proc/self/uid_map or gid_map, user_namespaces(7).
func readIDMap(path string) (idMap, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var m idMap
	for line := range strings.Lines(string(data)) {
		var inside, outside, count int64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			return nil, fmt.Errorf("%s: line %q: %w", path, strings.TrimSpace(line), err)
		}
		m = append(m, [2]int64{inside, inside + count - 1})
	}
	return m, nil
}

func (m idMap) has(id int64) bool {
	for _, r := range m {
		if r[0] <= id && id <= r[1] {
			return true
		}
	}
	return false
}

// size is the number of ids.
func (m idMap) size() int64 {
	var n int64
	for _, r := range m {
		n += r[1] - r[0] + 1
	}
	return n
}

// readUmask reads the umask of this process, which umask(2) could only do by setting
// another one for all threads. Linux 4.7.
func readUmask() (uint32, error) {
	const path = "/proc/self/status"
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "Umask:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(value), 8, 32)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
			return uint32(mask), nil
		}
	}
	return 0, fmt.Errorf("%s: no umask", path)
}

// SingleID says that there is one user or group id only in this user namespace:
// everything belongs to it, whoever is named.
func SingleID() (bool, error) {
	for _, path := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		m, err := readIDMap(path)
		if err != nil || m.size() == 1 {
			return err == nil, err
		}
	}
	return false, nil
}
