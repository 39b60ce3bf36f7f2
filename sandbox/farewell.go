package sandbox

import "time"

// farewell is how long the end of the slots is waited for.
const farewell = 5 * time.Second

// born and died keep account of the monitors.
func (s *slots) born(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alive == nil {
		s.alive = map[*link]bool{}
	}
	s.alive[l] = true
}

func (s *slots) died(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.alive, l)
	close(l.buried)
}

// endSlots sends all slots away and waits until nothing is left of them. What
// takes too long the next supervisor clears.
func (s *Supervisor) endSlots() {
	s.slots.close()
	late := time.After(farewell)
	made := make(chan struct{})
	go func() {
		s.slots.makers.Wait()
		close(made)
	}()
	select {
	case <-made:
	case <-late:
		return
	}
	for _, l := range s.withoutSandbox() {
		select {
		case <-l.buried:
		case <-late:
			return
		}
	}
}

// withoutSandbox are the monitors that have none, or one that has ended or was removed
// and is being cleared.
func (s *Supervisor) withoutSandbox() []*link {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	var list []*link
	for l := range s.slots.alive {
		if l.box == nil || l.said || l.box.removed {
			list = append(list, l)
		}
	}
	return list
}
