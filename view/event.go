package view

import (
	"maps"
	"slices"
	"strings"
	"text/template"
	"time"

	"sbx/api"
)

// Event is something that has happened, in the form of Docker's API. The first
// three fields are those of older versions of it, for sandboxes and images.
type Event struct {
	Status   string `json:"status,omitempty"`
	ID       string `json:"id,omitempty"`
	From     string `json:"from,omitempty"`
	Type     string
	Action   string
	Actor    Actor
	Scope    string `json:"scope,omitempty"`
	Time     int64  `json:"time,omitempty"`
	TimeNano int64  `json:"timeNano,omitempty"`
}

// Actor is what it has happened to.
type Actor struct {
	ID         string
	Attributes map[string]string
}

// Types of events.
const (
	ContainerEvent = "container"
	ImageEvent     = "image"
	NetworkEvent   = "network"
	VolumeEvent    = "volume"
)

// Events is a request for events, taken apart.
type Events struct {
	Since, Until time.Time // zero: not given
	filter       eventFilter
	format       string
	template     *template.Template // nil: Docker's text
}

// ParseEvents reads a request. The error is an *api.Error.
func ParseEvents(req api.Events, now time.Time) (*Events, error) {
	e := &Events{filter: eventFilter{}}
	for _, t := range []struct {
		name, value string
		to          *time.Time
	}{{"since", req.Since, &e.Since}, {"until", req.Until, &e.Until}} {
		if t.value == "" {
			continue
		}
		var ok bool
		if *t.to, ok = parseMoment(t.value, now); !ok {
			return nil, api.Errorf("--"+t.name, Safe(t.value), "it is neither a time nor how long ago").WithHint(momentHint)
		}
	}
	if err := eachFilter(req.Filters, e.filter.add); err != nil {
		return nil, err
	}
	switch req.Format {
	case "":
		return e, nil
	case "json":
		e.format = "{{json .}}"
	default:
		e.format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(req.Format)
	}
	var err error
	if e.template, err = compile(e.format); err != nil {
		return nil, err
	}
	// A mistake is to be said at once, not with the first event.
	_, err = e.Line(&Event{Actor: Actor{Attributes: map[string]string{}}})
	return e, err
}

// Wanted says whether an event is in the time and chosen by the filters.
func (e *Events) Wanted(ev *Event) bool {
	at := time.Unix(0, ev.TimeNano)
	return !at.Before(e.Since) && (e.Until.IsZero() || !at.After(e.Until)) && e.filter.match(ev)
}

// Line is an event as docker events prints it, with its newline.
func (e *Events) Line(ev *Event) (string, error) {
	if e.template != nil {
		line, err := render(e.template, e.format, ev)
		return line + "\n", err
	}
	// RFC 3339 with all nine digits, so that lines stand below each other.
	const stamp = "2006-01-02T15:04:05.000000000Z07:00"
	line := time.Unix(0, ev.TimeNano).Format(stamp) + " " + ev.Type + " " + ev.Action + " " + ev.Actor.ID
	if len(ev.Actor.Attributes) > 0 {
		var list []string
		for _, key := range slices.Sorted(maps.Keys(ev.Actor.Attributes)) {
			list = append(list, key+"="+ev.Actor.Attributes[key])
		}
		line += " (" + strings.Join(list, ", ") + ")"
	}
	return Safe(line) + "\n", nil
}

// eventFilter has the values of --filter by key: those of one key are
// alternatives, but for labels.
type eventFilter map[string][]string

func (f eventFilter) add(key, value string) error {
	switch key {
	case "container", "image", "network", "volume", "label", "scope":
	case "event":
		// podman's words for two of Docker's.
		switch value {
		case "died":
			value = "die"
		case "remove":
			value = "destroy"
		}
	case "type":
		if types := []string{ContainerEvent, ImageEvent, NetworkEvent, VolumeEvent}; !slices.Contains(types, value) {
			return filterError("type="+value, "a type is one of "+strings.Join(types, ", "))
		}
	case "daemon", "plugin", "node", "service", "secret", "config":
		return filterError(key+"="+value, "sbx has no such thing")
	default:
		return filterError(key+"="+value, "no such filter").
			WithHint("filters are container, event, image, label, network, scope, type, volume")
	}
	f[key] = append(f[key], value)
	return nil
}

func (f eventFilter) match(ev *Event) bool {
	attributes := ev.Actor.Attributes
	// Docker takes the beginning of a name or id.
	named := func(kind string) bool {
		return anyOf(f[kind], func(name string) bool {
			return name != "" && ev.Type == kind && (strings.HasPrefix(ev.Actor.ID, name) || strings.HasPrefix(attributes["name"], name))
		})
	}
	return anyOf(f["type"], func(t string) bool { return t == ev.Type }) &&
		anyOf(f["scope"], func(s string) bool { return s == ev.Scope }) &&
		anyOf(f["event"], func(a string) bool { return sameAction(a, ev.Action) }) &&
		named(ContainerEvent) && named(NetworkEvent) && named(VolumeEvent) &&
		anyOf(f["image"], func(name string) bool { return aboutImage(ev, name) }) &&
		!slices.ContainsFunc(f["label"], func(want string) bool { return !hasLabel(attributes, want) })
}

// sameAction knows that some actions have more behind a colon: "health_status:
// healthy", "exec_start: sh".
func sameAction(want, action string) bool {
	kind, _, _ := strings.Cut(action, ":")
	return want == action || want == kind
}

// aboutImage is about the image itself, or a sandbox made from it.
func aboutImage(ev *Event, name string) bool {
	own := ev.Actor.Attributes["image"]
	if ev.Type == ImageEvent {
		own = ev.Actor.Attributes["name"]
	}
	id := strings.TrimPrefix(name, "sha256:")
	return own != "" && fullName(own) == fullName(name) ||
		ev.Type == ImageEvent && len(id) >= 4 && strings.HasPrefix(strings.TrimPrefix(ev.Actor.ID, "sha256:"), id)
}
