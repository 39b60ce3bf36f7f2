package volume

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/names"
	"sbx/internal/sys"
)

// AnonymousLabel is Docker's mark of a volume that nobody has given a name.
const AnonymousLabel = "com.docker.volume.anonymous"

// Files of a volume.
const (
	dataDir  = "_data"
	record   = "volume.json"
	filled   = "fill"
	filling  = "fill.new"
	making   = ".new-"
	removing = ".gone-"
)

// Volume is one volume.
type Volume struct {
	Name    string            `json:"name"`
	Created time.Time         `json:"created"`
	Labels  map[string]string `json:"labels,omitempty"`
	Options map[string]string `json:"options,omitempty"` // of Docker's driver "local", see Device
}

// Anonymous says that nobody has given it a name.
func (v *Volume) Anonymous() bool {
	_, ok := v.Labels[AnonymousLabel]
	return ok
}

// Options of Open.
type Options struct {
	Dir string
	// Used names the sandboxes that have a volume. It must not call the store.
	Used func(name string) []string
	Log  *slog.Logger
}

// Store is all volumes. Its methods may be called from several goroutines; there is
// one Store in one process at a time.
type Store struct {
	Options
	mu  sync.Mutex
	all map[string]*entry
}

type entry struct {
	Volume
	filling sync.Mutex
}

// Open reads what there is, completes what was begun, and clears what was not. It
// runs as uid 0 of the user namespace whose ids the files in volumes have.
func Open(o Options) (*Store, error) {
	const op = "open the volumes"
	if err := os.Mkdir(o.Dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, api.Wrap(op, o.Dir, err)
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, api.Wrap(op, o.Dir, err)
	}
	s := &Store{Options: o, all: map[string]*entry{}}
	for _, e := range entries {
		if err := s.read(e.Name()); err != nil {
			o.Log.Warn("read a volume", "name", e.Name(), "error", err)
		}
	}
	return s, nil
}

// read makes a volume known. A directory with data is one, even if its record cannot
// be read: that is what the user cares about.
func (s *Store) read(name string) error {
	dir := filepath.Join(s.Dir, name)
	if strings.HasPrefix(name, making) || strings.HasPrefix(name, removing) {
		return os.RemoveAll(dir)
	}
	if err := names.Valid(name); err != nil {
		return err
	}
	st, err := os.Lstat(filepath.Join(dir, dataDir))
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return &os.PathError{Op: "read", Path: filepath.Join(dir, dataDir), Err: unix.ENOTDIR}
	}
	v := Volume{Name: name, Created: st.ModTime()}
	text, err := os.ReadFile(filepath.Join(dir, record))
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	v.Name = name
	s.all[name] = &entry{Volume: v}
	return errors.Join(err, os.RemoveAll(filepath.Join(dir, filling)), settle(dir, true))
}

// List are all volumes, by name.
func (s *Store) List() []Volume {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Volume, 0, len(s.all))
	for _, name := range slices.Sorted(maps.Keys(s.all)) {
		list = append(list, s.all[name].Volume)
	}
	return list
}

// Find gives the volume of a name. The error is an *api.Error that ErrMissing matches.
func (s *Store) Find(name string) (Volume, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.all[name]; e != nil {
		return e.Volume, nil
	}
	return Volume{}, noSuch("find volume", name)
}

// ErrMissing is what errors.Is finds in the error about a volume that is not there.
var ErrMissing = errors.New("no such volume")

type missing struct{ error }

func (m missing) Unwrap() error { return m.error }

func (missing) Is(target error) bool { return target == ErrMissing }

func noSuch(op, name string) error {
	return missing{api.Errorf(op, printable(name), "no such volume").WithHint("see sbx volume ls").WithCode(1)}
}

// Data is the directory that holds what a volume holds.
func (s *Store) Data(name string) string { return filepath.Join(s.Dir, name, dataDir) }

// Usage is how many bytes of the disk a volume takes.
func (s *Store) Usage(name string) (int64, error) {
	n, err := sys.DiskUsage(s.Data(name))
	if errors.Is(err, unix.ENOENT) {
		return 0, nil // it has just been removed
	}
	if err != nil {
		return 0, api.Wrap("measure volume", name, err)
	}
	return n, nil
}
