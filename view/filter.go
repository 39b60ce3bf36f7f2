package view

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sbx/api"
)

// filter is the --filter flags of ps, parsed. Values of one key are
// alternatives, but for labels; different keys must all agree.
type filter struct {
	names, ids    []*regexp.Regexp
	labels        []string
	states        []string
	exits         []int
	ancestors     []string
	networks      []string
	volumes       []string
	healths       []string
	published     []portRange // ports of the host
	exposed       []portRange // ports of the sandbox
	before, since []*api.Sandbox
}

// choose selects as docker ps does: running sandboxes only, unless --all, --last
// or a status filter says otherwise; newest first.
func choose(all []api.Sandbox, req api.List) ([]*api.Sandbox, error) {
	f, err := parseFilter(req.Filters, all)
	if err != nil {
		return nil, err
	}
	stopped := req.All || req.Last > 0 || len(f.states) > 0
	var out []*api.Sandbox
	for i := range all {
		box := &all[i]
		if (stopped || box.Status.Alive() || box.Status.State == api.Restarting) && f.match(box) {
			out = append(out, box)
		}
	}
	slices.SortFunc(out, newestFirst)
	if req.Last > 0 && len(out) > req.Last {
		out = out[:req.Last]
	}
	return out, nil
}

func newestFirst(a, b *api.Sandbox) int {
	return cmp.Or(b.Config.Created.Compare(a.Config.Created), cmp.Compare(a.Config.ID, b.Config.ID))
}

func parseFilter(args []string, all []api.Sandbox) (*filter, error) {
	f := &filter{}
	return f, eachFilter(args, func(key, value string) error { return f.add(key, value, all) })
}

// eachFilter takes the arguments of --filter apart.
func eachFilter(args []string, add func(key, value string) error) error {
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			return filterError(arg, "bad format of filter (expected name=value)")
		}
		if err := add(strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)); err != nil {
			return err
		}
	}
	return nil
}

func (f *filter) add(key, value string, all []api.Sandbox) error {
	var err error
	switch key {
	case "name":
		f.names, err = addPattern(f.names, key, value)
	case "id":
		f.ids, err = addPattern(f.ids, key, value)
	case "label":
		f.labels = append(f.labels, value)
	case "status":
		if !slices.Contains(dockerStates(), value) {
			return filterError("status="+value, "a status is one of "+strings.Join(dockerStates(), ", "))
		}
		f.states = append(f.states, value)
	case "exited":
		code, err := strconv.Atoi(value)
		if err != nil {
			return filterError("exited="+value, "an exit status is a number")
		}
		f.exits = append(f.exits, code)
	case "ancestor":
		f.ancestors = append(f.ancestors, value)
	case "network":
		f.networks = append(f.networks, value)
	case "before":
		f.before, err = addSandbox(f.before, key, value, all)
	case "since":
		f.since, err = addSandbox(f.since, key, value, all)
	case "publish":
		f.published, err = addPorts(f.published, key, value)
	case "expose":
		f.exposed, err = addPorts(f.exposed, key, value)
	case "health":
		if words := []string{api.HealthNone, api.Starting, api.Healthy, api.Unhealthy}; !slices.Contains(words, value) {
			return filterError("health="+value, "a health is one of "+strings.Join(words, ", "))
		}
		f.healths = append(f.healths, value)
	case "volume":
		f.volumes = append(f.volumes, value)
	case "is-task", "isolation":
		return filterError(key+"="+value, "sbx has no such filter yet")
	default:
		return filterError(key+"="+value, "no such filter").
			WithHint("filters are ancestor, before, exited, expose, health, id, label, name, network, publish, since, status, volume")
	}
	return err
}

// dockerStates are the words that Docker takes as a status. Several never apply
// here, but a script that asks for them is right.
func dockerStates() []string {
	return []string{api.Created, api.Restarting, api.Running, "removing", api.Paused, api.Exited, "dead"}
}

func addPattern(list []*regexp.Regexp, key, value string) ([]*regexp.Regexp, error) {
	re, err := regexp.Compile(value)
	if err != nil {
		return nil, filterError(key+"="+value, Safe(err.Error()))
	}
	return append(list, re), nil
}

// addSandbox finds a sandbox by its name, its id, or a prefix of its id.
func addSandbox(list []*api.Sandbox, key, value string, all []api.Sandbox) ([]*api.Sandbox, error) {
	var found []*api.Sandbox
	for i := range all {
		box := &all[i]
		if box.Config.Name == value || box.Config.ID == value {
			return append(list, box), nil
		}
		if value != "" && strings.HasPrefix(box.Config.ID, value) {
			found = append(found, box)
		}
	}
	switch len(found) {
	case 0:
		return nil, filterError(key+"="+value, "no such sandbox")
	case 1:
		return append(list, found[0]), nil
	}
	return nil, filterError(key+"="+value, "more than one sandbox has an id that starts so")
}

func filterError(arg, msg string) *api.Error {
	return api.Errorf("filter", strconv.Quote(arg), "%s", msg)
}

func (f *filter) match(box *api.Sandbox) bool {
	// Docker's names begin with a slash, so both ^name and ^/name are in use.
	name := box.Config.Name
	return anyOf(f.names, func(re *regexp.Regexp) bool { return re.MatchString(name) || re.MatchString("/"+name) }) &&
		anyOf(f.ids, func(re *regexp.Regexp) bool { return re.MatchString(box.Config.ID) }) &&
		anyOf(f.states, func(s string) bool { return s == box.Status.State }) &&
		anyOf(f.healths, func(h string) bool { return h == healthOf(box) }) &&
		anyOf(f.exits, func(code int) bool { return exitedWith(box.Status, code) }) &&
		anyOf(f.ancestors, func(image string) bool { return madeFrom(&box.Config, image) }) &&
		anyOf(f.networks, func(n string) bool { return onNetwork(box, n) }) &&
		anyOf(f.volumes, func(word string) bool { return hasVolume(box, word) }) &&
		anyOf(f.published, func(r portRange) bool { return r.published(box) }) &&
		anyOf(f.exposed, func(r portRange) bool { return r.exposed(box) }) &&
		f.matchLabels(box.Config.Labels) && f.matchAge(box)
}

// healthOf is what the checks of a sandbox have found, or that it has none.
func healthOf(box *api.Sandbox) string {
	if box.Health == nil {
		return api.HealthNone
	}
	return box.Health.Status
}

// anyOf is true without alternatives.
func anyOf[T any](alternatives []T, ok func(T) bool) bool {
	return len(alternatives) == 0 || slices.ContainsFunc(alternatives, ok)
}

// exitedWith is false for an exit status that nobody knows.
func exitedWith(s api.Status, code int) bool {
	return s.State == api.Exited && !s.Unknown && s.ExitCode == code
}

// matchLabels wants every label: "key" with any value, or "key=value".
func (f *filter) matchLabels(labels map[string]string) bool {
	return !slices.ContainsFunc(f.labels, func(want string) bool { return !hasLabel(labels, want) })
}

func (f *filter) matchAge(box *api.Sandbox) bool {
	for _, b := range f.before {
		if newestFirst(box, b) <= 0 {
			return false
		}
	}
	for _, s := range f.since {
		if newestFirst(box, s) >= 0 {
			return false
		}
	}
	return true
}

// madeFrom says whether a sandbox has this image, given by name or by id. Images
// that were built on top of it do not count: their history is not in a Config.
func madeFrom(c *api.Config, image string) bool {
	if fullName(c.Image) == fullName(image) {
		return true
	}
	// Four digits, so that a short name such as "fe" is not taken for an id.
	id := strings.TrimPrefix(image, "sha256:")
	return len(id) >= 4 && strings.HasPrefix(c.ImageID, id)
}

// fullName is an image's name without what Docker lets out, and with its tag.
func fullName(name string) string {
	for _, registry := range []string{"docker.io/", "index.docker.io/", "localhost/"} {
		name = strings.TrimPrefix(name, registry)
	}
	name = strings.TrimPrefix(name, "library/")
	if !strings.Contains(name, "@") && !strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":") {
		name += ":latest"
	}
	return name
}
