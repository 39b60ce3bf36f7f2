package sandbox

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/image/transfer"
	"sbx/view"
)

var errReset = api.Errorf("open image store", "", "sbx is being reset").WithHint("try again when that is done")

// reset removes all sandboxes, running or not, all images, and what else there is
// in the data directory, and ends the supervisor. It looks at nothing of what it
// removes: a store that cannot be opened goes like any other.
//
// The answer comes when no other request can be accepted any more: whoever asks for
// something after it finds a new supervisor.
func (c *conversation) reset() error {
	c.s.resets.Add(1)
	defer c.s.resets.Done()
	err := c.s.reset()
	c.s.quit()
	<-c.s.deaf
	if err != nil {
		return c.conn.Send(api.KindFault, api.Wrap(api.VerbReset, "", err))
	}
	return c.done("")
}

func (s *Supervisor) reset() error {
	s.closeForReset()
	var errs []error
	for _, box := range s.sandboxes() {
		// One that ends by itself meanwhile is no error: its directory goes below.
		if err := s.remove(box.Config.ID, true, false); err != nil {
			s.Log.Info("reset", "sandbox", shortID(box.Config.ID), "error", err)
		}
	}
	s.endSlots()
	s.hideAll()
	s.closeNetwork()
	s.journal.end()
	for _, path := range s.ours() {
		if err := os.RemoveAll(path); err != nil {
			errs = append(errs, resetError(err))
		}
	}
	// The keeper goes on writing to the log.
	if err := os.Truncate(s.Dirs.Log(), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, resetError(err))
	}
	if len(errs) == 0 {
		return nil
	}
	for _, err := range errs[1:] {
		s.Log.Warn("reset", "error", err)
	}
	return errs[0]
}

// closeForReset lets go of the store, whatever state it is in.
func (s *Supervisor) closeForReset() {
	s.storeLock.Lock()
	defer s.storeLock.Unlock()
	s.resetting = true
	if s.store == nil {
		return
	}
	if err := s.store.Close(); err != nil {
		s.Log.Info("reset: close the image store", "error", err)
	}
	s.store = nil
}

// ours is everything that sbx makes in its directories. They may be ones that hold
// files of the user's, too.
func (s *Supervisor) ours() []string {
	return []string{
		// The records first: should we be killed in between, nothing is left that
		// says there were images.
		filepath.Join(s.Dirs.Storage(), "overlay-images"),
		filepath.Join(s.Dirs.Storage(), "overlay-layers"),
		s.Dirs.Storage(), s.Dirs.StorageRun(), s.Dirs.Sandboxes(), s.points, s.base(), s.shownDir(), s.Dirs.Networks(), s.Dirs.Volumes(),
		filepath.Join(s.Dirs.Data, transfer.ConfigDir), s.journal.path, s.journal.path + ".1", s.told(lingerTold), s.told(loneTold), s.told(lacksTold), s.told(insteadTold), s.told(onlyIPv4Told), s.told(elsewhereTold),
		s.Dirs.Doctor(), filepath.Join(s.Dirs.Data, "build"),
	}
}

// resetError says what could not be removed.
func resetError(err error) error {
	e := api.Wrap("reset", "", err)
	e.Msg = view.Safe(err.Error())
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		e.Hint = "it may belong to an id that is not yours any more: ask the administrator to remove it"
	case errors.Is(err, unix.EBUSY):
		e.Hint = "something is mounted there: unmount it, and try again"
	default:
		e.Hint = "try again"
	}
	return e
}
