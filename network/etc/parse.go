package etc

import (
	"net/netip"
	"slices"
	"strings"
)

// Resolv is what resolv.conf(5) says, without what nobody can use: lines that
// are no setting, addresses that are none, settings said twice.
type Resolv struct {
	Servers []netip.Addr // with their zone, where they have one
	Search  []string
	Options []string // "ndots:1", "edns0"; the last one of each kind
}

// largest is how much of a resolv.conf is read, in bytes.
const largest = 64 << 10

// Parse reads a resolv.conf as glibc does: a comment starts in the first column,
// the last of search and domain counts, options add up. It cannot fail.
func Parse(file []byte) Resolv {
	var r Resolv
	if len(file) > largest {
		file = file[:largest]
	}
	for line := range strings.Lines(string(file)) {
		if line[0] == '#' || line[0] == ';' {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			// glibc looks at no further word either.
			if a, err := netip.ParseAddr(words[1]); err == nil && plain(a.Zone()) && !slices.Contains(r.Servers, a) {
				r.Servers = append(r.Servers, a)
			}
		case "domain":
			r.Search = domains(words[1:2])
		case "search":
			r.Search = domains(words[1:])
		case "options":
			for _, o := range words[1:] {
				r.set(o)
			}
		}
	}
	return r
}

// set adds an option in place of an earlier one of its kind.
func (r *Resolv) set(option string) {
	if !plain(option) {
		return
	}
	r.Options = slices.DeleteFunc(r.Options, func(o string) bool { return kind(o) == kind(option) })
	r.Options = append(r.Options, option)
}

// Number is the value of an option such as "timeout:3"; def if it is not there or
// no number, else no less than low and no more than high.
func (r Resolv) Number(name string, def, low, high int) int {
	for _, o := range r.Options {
		if kind(o) != name {
			continue
		}
		n, digits := 0, strings.TrimPrefix(o, name+":")
		for _, c := range []byte(digits) {
			if c < '0' || c > '9' {
				return def
			}
			n = min(n*10+int(c-'0'), high)
		}
		if digits != "" && digits != o {
			return max(n, low)
		}
	}
	return def
}

// Has says whether an option is set.
func (r Resolv) Has(name string) bool {
	return slices.ContainsFunc(r.Options, func(o string) bool { return kind(o) == name })
}

func kind(option string) string {
	name, _, _ := strings.Cut(option, ":")
	return name
}

// domains leaves out what is no domain. "." alone, as Docker has it, is none.
func domains(words []string) []string {
	var list []string
	for _, w := range words {
		if w != "." && plain(w) && !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	return list
}

// plain says that a word is ASCII, has no blanks and no control characters: it
// stays one word of one line of a file.
func plain(word string) bool {
	return !strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' })
}
