package etc

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"

	"sbx/api"
)

// Kind is how a sandbox looks names up; it follows from its network.
type Kind int

const (
	// None is a sandbox with no network: there is nobody to ask.
	None Kind = iota
	// Bridge asks the responder of the network, or the servers that --dns names.
	Bridge
	// Named asks the responder always, since only that knows the sandboxes'
	// names. What --dns names is for the responder to ask.
	Named
	// Host sees what the host sees.
	Host
)

// ResolvFile says what goes into a sandbox's resolv.conf.
type ResolvFile struct {
	Kind     Kind
	Host     []byte       // the host's file; nil if it has none
	Gateways []netip.Addr // where the responder is, the sandbox's first network first

	// As given with --dns, --dns-search and --dns-option. A search domain "."
	// means: none, not even the host's.
	DNS     []netip.Addr
	Search  []string
	Options []string
}

// mostServers is how many nameserver lines a C library looks at (MAXNS).
const mostServers = 3

// longestLine is the longest line that musl reads, in bytes without its end; it
// skips longer ones. glibc and Go have no such limit.
const longestLine = 254

// Resolv makes a resolv.conf. The error is about a search domain or an option
// that would not be one word in the file.
func (f ResolvFile) Resolv() ([]byte, error) {
	for flag, words := range map[string][]string{"--dns-search": f.Search, "--dns-option": f.Options} {
		for _, w := range words {
			if w == "" || !plain(w) {
				return nil, api.Errorf("write resolv.conf", "", "%s %q is not one word", flag, w).
					WithHint("give the flag once per value")
			}
		}
	}
	given := len(f.DNS)+len(f.Search)+len(f.Options) > 0
	if f.Kind == Host && !given {
		return bytes.Clone(f.Host), nil
	}
	host := Parse(f.Host)
	r := Resolv{Servers: f.servers(host), Search: domains(f.Search), Options: f.Options}
	if len(f.Search) == 0 && f.Kind != None {
		r.Search = host.Search
	}
	if len(f.Options) == 0 && f.Kind != None {
		r.Options = f.inherited(host)
	}
	if f.Kind == Named && !r.Has("ndots") {
		// The name of a sandbox has no dot. With ndots:1, which is the default, it
		// would first be looked up in every search domain, outside.
		r.Options = append(slices.Clone(r.Options), "ndots:0")
	}
	return r.format(), nil
}

func (f ResolvFile) servers(host Resolv) []netip.Addr {
	switch {
	case f.Kind == Named && len(f.Gateways) > 0:
		return f.Gateways[:min(len(f.Gateways), mostServers)]
	case len(f.DNS) > 0:
		return f.DNS
	case f.Kind == Host:
		return host.Servers
	case f.Kind == None:
		return nil
	}
	return f.Gateways[:min(len(f.Gateways), mostServers)]
}

// inherited is what remains of the host's options. The responder does the
// waiting and the rotating itself, among the host's servers; trust-ad is the
// host's word for its own servers, not for others.
func (f ResolvFile) inherited(host Resolv) []string {
	drop := map[string]bool{}
	if f.Kind != Host {
		drop = map[string]bool{"timeout": true, "attempts": true, "rotate": true}
	}
	if len(f.DNS) > 0 {
		drop["trust-ad"] = true
	}
	return slices.DeleteFunc(slices.Clone(host.Options), func(o string) bool { return drop[kind(o)] })
}

func (r Resolv) format() []byte {
	var b bytes.Buffer
	b.WriteString("# Made by sbx; follows the host's resolv.conf and the flags of the sandbox.\n")
	for _, s := range r.Servers {
		b.WriteString("nameserver " + s.String() + "\n")
	}
	if len(r.Search) > 0 {
		long := "search " + strings.Join(r.Search, " ")
		if len(long) > longestLine {
			// The last line counts, for those who can read it.
			if short := shorten(long); short != "" {
				b.WriteString(short + "\n")
			}
		}
		b.WriteString(long + "\n")
	}
	for _, line := range wrap("options", r.Options) {
		b.WriteString(line + "\n")
	}
	return b.Bytes()
}

// shorten cuts a line after the last word that musl can still read.
func shorten(line string) string {
	cut := strings.LastIndexByte(line[:longestLine+1], ' ')
	if cut <= len("search") {
		return ""
	}
	return line[:cut]
}

// wrap spreads words over lines that musl can read. That is possible with
// options, which add up.
func wrap(keyword string, words []string) []string {
	var lines []string
	for _, w := range words {
		last := len(lines) - 1
		if last >= 0 && len(lines[last])+1+len(w) <= longestLine {
			lines[last] += " " + w
		} else {
			lines = append(lines, keyword+" "+w)
		}
	}
	return lines
}
