package sandbox

import (
	"strconv"
	"strings"

	"sbx/api"
	"sbx/image"
	"sbx/image/transfer"
	"sbx/sandbox/monitor"
	"sbx/view"
)

// note records what happens to a sandbox. Attributes are names and values in turn.
// The caller holds the lock, or has a configuration of its own.
func (s *Supervisor) note(c *api.Config, action string, attributes ...string) {
	if c.Step != nil {
		return // the build tells
	}
	s.journal.add(happening{
		kind: view.ContainerEvent, action: action, id: c.ID, image: c.Image, name: c.Name, labels: c.Labels,
		attributes: attributes,
	})
}

// noteBox is note for a caller that does not hold the lock.
func (s *Supervisor) noteBox(b *box, action string, attributes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(&b.config, action, attributes...)
}

// noteStart tells once of each start. The caller holds the lock.
func (s *Supervisor) noteStart(b *box) {
	if !b.told {
		b.told = true
		s.noteMounted(&b.config, "mount")
		s.note(&b.config, "start")
	}
}

// noteEnd tells of the end of a program that has run. The caller holds the lock.
func (s *Supervisor) noteEnd(b *box) {
	s.noteStart(b) // one that has ended at once
	if b.status.OOMKilled && b.oomKills == 0 {
		s.noteMemory(b, 1) // the group was gone before it could be read
	}
	b.told, b.oomKills = false, 0
	ran := b.status.FinishedAt.Sub(b.status.StartedAt)
	s.note(&b.config, "die", "exitCode", strconv.Itoa(b.status.ExitCode), "execDuration", strconv.Itoa(int(ran.Seconds())))
	s.noteMounted(&b.config, "unmount")
}

// noteGone tells once that a sandbox is removed.
func (s *Supervisor) noteGone(b *box) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !b.cleared {
		b.cleared = true
		s.note(&b.config, "destroy")
	}
}

// noteImage records what happens to an image. The name is that of the request.
func (s *Supervisor) noteImage(action, id, name string) {
	if id != "" && !strings.HasPrefix(id, "sha256:") {
		id = "sha256:" + id
	}
	if id == "" {
		id = name // as Docker, for what is not an image here
	}
	s.journal.add(happening{kind: view.ImageEvent, action: action, id: id, name: name})
}

// notePulled records the images that were fetched.
func (s *Supervisor) notePulled(got *transfer.Pulled) {
	all := got.All
	if len(all) == 0 {
		all = []transfer.Pulled{*got}
	}
	for _, one := range all {
		s.noteImage("pull", "", view.Familiar(one.Name))
	}
}

// noteRemoved records what was taken from the images.
func (s *Supervisor) noteRemoved(list []image.Removed) {
	for _, r := range list {
		switch {
		case r.Layer, strings.Contains(r.Untagged, "@"): // a part of what the others tell
		case r.Untagged != "":
			s.noteImage("untag", "", r.Untagged)
		default:
			s.noteImage("delete", r.Deleted, strings.TrimPrefix(r.Deleted, "sha256:"))
		}
	}
}

// noteNetwork records what happens to a network; with a sandbox, that it is on it
// or leaves it.
func (s *Supervisor) noteNetwork(action, id, name, sandbox string) {
	attributes := []string{"type", "bridge"}
	if sandbox != "" {
		attributes = append(attributes, "container", sandbox)
	}
	s.journal.add(happening{kind: view.NetworkEvent, action: action, id: id, name: name, attributes: attributes})
}

// noteJoined tells of the networks that a sandbox joins, or leaves.
func (s *Supervisor) noteJoined(action string, c *api.Config, j *joined) {
	if c.Step != nil {
		return // the build tells
	}
	for _, on := range j.networks() {
		s.noteNetwork(action, on.NetworkID, on.Network, c.ID)
	}
}

// execEnded tells of the end of a further program. The caller holds the lock.
func (s *Supervisor) execEnded(b *box, p *api.Packet) {
	var e monitor.ExecEnded
	if err := p.Decode(&e); err != nil {
		s.Log.Warn("monitor", "error", err)
		return
	}
	if b != nil {
		s.note(&b.config, "exec_die", "execID", e.ID, "exitCode", strconv.Itoa(e.Code))
	}
}
