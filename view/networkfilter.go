package view

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sbx/api"
)

// networkFilter is the --filter flags of network ls and network prune. Values of
// one key are alternatives, but for labels; different keys must all agree.
type networkFilter struct {
	names, ids     []*regexp.Regexp
	drivers        []string
	scopes         []string
	builtin        []bool
	labels, absent []string
	dangling       *bool     // no sandbox is on it, and a user made it
	until          time.Time // made before; zero: at any time
}

// parseNetworkFilter takes the keys that the command knows.
func parseNetworkFilter(args []string, now time.Time, known ...string) (*networkFilter, error) {
	f := &networkFilter{}
	return f, eachFilter(args, func(key, value string) error {
		if !slices.Contains(known, key) {
			return filterError(key+"="+value, "no such filter").WithHint("filters are %s", strings.Join(known, ", "))
		}
		return f.add(key, value, now)
	})
}

func (f *networkFilter) add(key, value string, now time.Time) error {
	var err error
	switch key {
	case "name":
		f.names, err = addPattern(f.names, key, value)
	case "id":
		f.ids, err = addPattern(f.ids, key, value)
	case "driver":
		f.drivers = append(f.drivers, value)
	case "scope":
		f.scopes = append(f.scopes, value)
	case "label":
		f.labels = append(f.labels, value)
	case "label!":
		f.absent = append(f.absent, value)
	case "until":
		f.until, err = ParseUntil(value, now)
	case "type":
		if value != "builtin" && value != "custom" {
			return filterError("type="+value, "a type is builtin or custom")
		}
		f.builtin = append(f.builtin, value == "builtin")
	case "dangling":
		yes, err := strconv.ParseBool(value)
		if err != nil {
			return filterError("dangling="+value, "it is true or false")
		}
		f.dangling = &yes
	}
	return err
}

func (f *networkFilter) match(n Network, boxes []api.Sandbox) bool {
	return anyOf(f.names, func(re *regexp.Regexp) bool { return re.MatchString(n.Name) }) &&
		anyOf(f.ids, func(re *regexp.Regexp) bool { return re.MatchString(n.ID) }) &&
		anyOf(f.drivers, func(d string) bool { return d == n.Driver }) &&
		anyOf(f.scopes, func(s string) bool { return s == networkScope }) &&
		anyOf(f.builtin, func(b bool) bool { return b == n.builtin() }) &&
		!slices.ContainsFunc(f.labels, func(l string) bool { return !hasLabel(n.Labels, l) }) &&
		!slices.ContainsFunc(f.absent, func(l string) bool { return hasLabel(n.Labels, l) }) &&
		(f.until.IsZero() || n.Created.Before(f.until)) &&
		(f.dangling == nil || *f.dangling == (!n.builtin() && !n.used(boxes)))
}

// hasLabel takes "key" with any value, or "key=value".
func hasLabel(labels map[string]string, want string) bool {
	key, value, valued := strings.Cut(want, "=")
	got, ok := labels[key]
	return ok && (!valued || got == value)
}
