package view

import (
	"strings"
	"testing"
	"time"

	"sbx/api"
)

func died() *Event {
	at := time.Date(2026, 3, 14, 15, 9, 26, 535897932, time.Local)
	return &Event{
		Status: "die", ID: "0123456789abcdef", From: "debian:13", Type: ContainerEvent, Action: "die", Scope: "local", Time: at.Unix(), TimeNano: at.UnixNano(),
		Actor: Actor{"0123456789abcdef", map[string]string{"name": "web", "image": "debian:13", "exitCode": "3", "tier": "front"}},
	}
}

func TestEventFilters(t *testing.T) {
	health := died()
	health.Action = "health_status: healthy"
	image := &Event{Type: ImageEvent, Action: "pull", Actor: Actor{"sha256:feedbeef", map[string]string{"name": "debian:13"}}}
	net := &Event{Type: NetworkEvent, Action: "connect", Actor: Actor{"cafe", map[string]string{"name": "back", "container": "0123"}}}
	for _, c := range []struct {
		filters string
		ev      *Event
		want    bool
	}{
		{"", died(), true},
		{"type=container", died(), true},
		{"type=image", died(), false},
		{"event=die event=start", died(), true},
		{"event=start", died(), false},
		{"event=died", died(), true}, // podman's word
		{"event=health_status", health, true},
		{"event=health_status:healthy", health, false},
		{"container=web", died(), true},
		{"container=0123", died(), true},
		{"container=eb", died(), false},
		{"container=", died(), false},
		{"container=0123", net, false},
		{"image=debian:13", died(), true},
		{"image=docker.io/library/debian:13", died(), true},
		{"image=debian", died(), false},
		{"image=debian:13", image, true},
		{"image=sha256:feedbeef", image, true},
		{"image=fee", image, false},
		{"network=back", net, true},
		{"network=caf", net, true},
		{"network=back", died(), false},
		{"label=tier", died(), true},
		{"label=tier=front label=name=web", died(), true},
		{"label=tier=front label=no", died(), false},
		{"scope=local", died(), true},
		{"scope=swarm", died(), false},
		{"type=container event=die container=nobody", died(), false},
	} {
		e, err := ParseEvents(api.Events{Filters: strings.Fields(c.filters)}, time.Now())
		if err != nil {
			t.Errorf("%s: %v", c.filters, err)
		} else if got := e.Wanted(c.ev); got != c.want {
			t.Errorf("%s: %v for %s %s", c.filters, got, c.ev.Type, c.ev.Action)
		}
	}
}

func TestEventLines(t *testing.T) {
	ev := died()
	for format, want := range map[string]string{
		"":                                        ev.at() + " container die 0123456789abcdef (exitCode=3, image=debian:13, name=web, tier=front)\n",
		"{{.Action}}\\t{{.Actor.ID}}":             "die\t0123456789abcdef\n",
		"{{.Status}} {{.ID}} {{.From}}":           "die 0123456789abcdef debian:13\n",
		"{{.Actor.Attributes.exitCode}}":          "3\n",
		"{{json .Actor.Attributes.tier}}":         "\"front\"\n",
		"{{.Time}} {{.Type}} {{.Scope}}":          timeText(ev) + " container local\n",
		"{{with .Actor.Attributes.gone}}x{{end}}": "\n",
	} {
		e, err := ParseEvents(api.Events{Format: format}, time.Now())
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if got, err := e.Line(ev); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", format, got, err, want)
		}
	}
	// What a program may have put into a label does not reach a terminal as it is.
	ev.Actor.Attributes["tier"] = "\x1b[31m\n"
	for _, format := range []string{"", "json", "{{.Actor.Attributes.tier}}"} {
		e, err := ParseEvents(api.Events{Format: format}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Line(ev); err != nil || strings.Contains(got, "\x1b") {
			t.Errorf("%s: %q, %v", format, got, err)
		}
	}
}

func (e *Event) at() string {
	return time.Unix(0, e.TimeNano).Format("2006-01-02T15:04:05.000000000Z07:00")
}

func timeText(e *Event) string { return show(e.Time) }

func TestEventTimes(t *testing.T) {
	now := time.Date(2026, 3, 14, 15, 9, 27, 0, time.Local)
	for _, c := range []struct {
		since, until string
		want         bool
	}{
		{"1h", "", true},
		{"100ms", "", false},
		{"2026-03-14T15:09:26", "2026-03-14T15:09:27", true},
		{"", "1h", false},
		{"", "0s", true},
		{"2026-03-14T15:09:27", "", false},
	} {
		e, err := ParseEvents(api.Events{Since: c.since, Until: c.until}, now)
		if err != nil {
			t.Errorf("%v: %v", c, err)
		} else if got := e.Wanted(died()); got != c.want {
			t.Errorf("since %q until %q: %v", c.since, c.until, got)
		}
	}
}

func TestEventErrors(t *testing.T) {
	for _, c := range []struct {
		req  api.Events
		want string
	}{
		{api.Events{Since: "soon"}, "--since soon: it is neither"},
		{api.Events{Until: "\x1b"}, `--until \x1b: it is neither`},
		{api.Events{Filters: []string{"x"}}, "expected name=value"},
		{api.Events{Filters: []string{"type=plug"}}, "a type is one of"},
		{api.Events{Filters: []string{"daemon=x"}}, "no such thing"},
		{api.Events{Filters: []string{"colour=x"}}, "no such filter"},
		{api.Events{Format: "{{.Nope}}"}, "Nope"},
		{api.Events{Format: "{{"}, "unclosed"},
	} {
		if _, err := ParseEvents(c.req, time.Now()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.req, err, c.want)
		}
	}
}

func TestHealthInStatus(t *testing.T) {
	box := api.Sandbox{Status: api.Status{State: api.Running, StartedAt: now().Add(-3 * time.Minute)}}
	for status, want := range map[string]string{
		"": "Up 3 minutes", api.Starting: "Up 3 minutes (health: starting)", api.Healthy: "Up 3 minutes (healthy)", api.Unhealthy: "Up 3 minutes (unhealthy)",
	} {
		if status != "" {
			box.Health = &api.HealthState{Status: status}
		}
		if got := statusText(&box, now()); got != want {
			t.Errorf("%s: %q", status, got)
		}
		box.Health = nil
	}
	box.Status = api.Status{State: api.Restarting, ExitCode: 3, FinishedAt: now().Add(-2 * time.Second)}
	if got := statusText(&box, now()); got != "Restarting (3) 2 seconds ago" {
		t.Errorf("restarting: %q", got)
	}
}
