package sandbox

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/internal/names"
)

// find gives the sandbox of a name, an id, or a beginning of an id that fits no
// other. The caller holds the lock.
func (s *Supervisor) find(name string) (*box, error) {
	name = strings.TrimPrefix(name, "/")
	if b := s.names[name]; b != nil {
		return b, nil
	}
	if b := s.boxes[name]; b != nil && b.config.Step == nil {
		return b, nil
	}
	var found *box
	if name != "" {
		for id, b := range s.boxes {
			if !strings.HasPrefix(id, name) || b.config.Step != nil {
				continue
			}
			if found != nil {
				return nil, api.Errorf("find sandbox", name, "several ids begin so").WithHint("give more of the id")
			}
			found = b
		}
	}
	if found == nil {
		return nil, missing{api.Errorf("find sandbox", name, "no such sandbox").WithHint("see sbx ps -a").WithCode(1)}
	}
	return found, nil
}

// errMissing is what errors.Is finds in the error about a sandbox that is not there.
var errMissing = errors.New("no such sandbox")

type missing struct{ error }

func (e missing) Unwrap() error { return e.error }

func (missing) Is(target error) bool { return target == errMissing }

// findRunning gives a sandbox and, if its program runs, the link to its monitor.
// One that is just starting is waited for: whoever has started it may know of
// the start before we do.
func (s *Supervisor) findRunning(ctx context.Context, name string) (*box, *link, error) {
	s.mu.Lock()
	b, err := s.find(name)
	var starting bool
	var begun chan struct{}
	if err == nil {
		starting, begun = b.link != nil, b.begun
	}
	s.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	if starting && !await(ctx, begun, nil) {
		return nil, nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.running() {
		return b, b.link, nil
	}
	return b, nil, nil
}

// sandboxes is a copy of all of them, newest first.
func (s *Supervisor) sandboxes() []api.Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]api.Sandbox, 0, len(s.boxes))
	for _, b := range s.ordered() {
		all = append(all, b.view())
	}
	return all
}

// ordered are all of them, newest first, but for the steps of builds. The caller holds
// the lock.
func (s *Supervisor) ordered() []*box {
	all := slices.SortedFunc(maps.Values(s.boxes), func(a, b *box) int { return b.config.Created.Compare(a.config.Created) })
	return slices.DeleteFunc(all, func(b *box) bool { return b.config.Step != nil })
}

func (s *Supervisor) rename(name, to string) error {
	if err := names.Valid(to); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(name)
	if err != nil {
		return err
	}
	if other := s.names[to]; other == b {
		return api.Errorf("rename", to, "it has this name already")
	} else if other != nil {
		return api.Errorf("rename", to, "the name is in use by sandbox %s", shortID(other.config.ID))
	}
	config := b.config
	config.Name = to
	if err := writeJSON(filepath.Join(b.dir, "config.json"), &config, true); err != nil {
		return dirs.DiskError("write", b.dir, err)
	}
	delete(s.names, b.config.Name)
	s.names[to] = b
	old := b.config.Name
	b.config = config
	s.note(&b.config, "rename", "oldName", old)
	return nil
}
