package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sbx/api"
)

// ErrUsed is what errors.Is finds in the error about a volume that a sandbox has.
var ErrUsed = errors.New("the volume is in use")

type used struct{ error }

func (u used) Unwrap() error { return u.error }

func (used) Is(target error) bool { return target == ErrUsed }

// Remove removes a volume that no sandbox has, with all that is in it. The error is
// an *api.Error that ErrMissing or ErrUsed may match.
func (s *Store) Remove(name string) error {
	const op = "remove volume"
	gone, err := s.take(name)
	if err == nil {
		err = os.RemoveAll(gone)
	}
	if err != nil && !errors.Is(err, ErrMissing) && !errors.Is(err, ErrUsed) {
		return api.Wrap(op, printable(name), err)
	}
	return err
}

// take gives a volume another name, under which nobody finds it. Who makes a sandbox
// with it lists that first and then asks for the volume: either we see the sandbox,
// or it finds no volume, and makes one.
func (s *Store) take(name string) (gone string, err error) {
	const op = "remove volume"
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[name] == nil {
		return "", noSuch(op, name)
	}
	if boxes := s.Used(name); len(boxes) > 0 {
		return "", used{api.Errorf(op, name, "it is in use by %s", strings.Join(boxes, ", ")).
			WithHint("remove that first: sbx rm %s", strings.Join(boxes, " ")).WithCode(1)}
	}
	// One of the same name may be on its way out still.
	gone = filepath.Join(s.Dir, removing+strconv.FormatInt(time.Now().UnixNano(), 36))
	if err := os.Rename(filepath.Join(s.Dir, name), gone); err != nil {
		return "", err
	}
	delete(s.all, name)
	return gone, nil
}
