package keeper

import "time"

// A supervisor that crashes more than maxCrashes times within crashWindow is not
// started again: what makes it crash is there to stay.
const (
	maxCrashes  = 5
	crashWindow = 10 * time.Second
)

// restarts remembers the latest crashes.
type restarts struct{ times []time.Time }

// add notes a crash and says whether that was one too many.
func (r *restarts) add(now time.Time) bool {
	r.times = append(r.times, now)
	for now.Sub(r.times[0]) > crashWindow {
		r.times = r.times[1:]
	}
	return len(r.times) > maxCrashes
}
