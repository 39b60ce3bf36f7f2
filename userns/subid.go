package userns

import (
	"strconv"
	"strings"
)

// Range is one line of /etc/subuid or /etc/subgid: Length ids from Start on.
type Range struct {
	Start, Length int
}

// ParseRanges returns the ranges that text, the contents of /etc/subuid or
// /etc/subgid, gives to a user; a line begins with a name or a uid, also in
// /etc/subgid. Lines that newuidmap(1) would not accept are skipped, as it does.
func ParseRanges(text, name string, uid int) []Range {
	var ranges []Range
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 || !names(fields[0], name, uid) {
			continue
		}
		start, err1 := strconv.ParseUint(fields[1], 10, 32)
		length, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 != nil || err2 != nil || length == 0 || start+length > 1<<32 {
			continue
		}
		ranges = append(ranges, Range{int(start), int(length)})
	}
	return ranges
}

func names(owner, name string, uid int) bool {
	return owner == strconv.Itoa(uid) || name != "" && owner == name
}

// dynamicSource says whether nsswitch.conf(5) names a source of subordinate ids
// other than the files (shadow 4.9 and later: sss, for instance).
func dynamicSource(nsswitch string) bool {
	for line := range strings.Lines(nsswitch) {
		line, _, _ = strings.Cut(line, "#")
		db, sources, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(db) != "subid" {
			continue
		}
		for _, source := range strings.Fields(sources) {
			if source != "files" {
				return true
			}
		}
	}
	return false
}
