package volume

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/internal/names"
)

const createOp = "create volume"

// Check says what is wrong with a volume that is to be made. One of that name must
// not differ in what is asked for.
func (s *Store) Check(v Volume) error {
	if err := names.Valid(v.Name); err != nil {
		return err
	}
	if _, err := deviceOf(v.Name, v.Options); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.all[v.Name]; e != nil {
		return differs(&e.Volume, &v)
	}
	return nil
}

// differs wants to find in a volume all that is asked for.
func differs(there, want *Volume) error {
	for key, value := range want.Labels {
		if got, ok := there.Labels[key]; !ok || got != value {
			return api.Errorf(createOp, want.Name, "there is one of that name, without the label %s", strconv.Quote(key+"="+value)).
				WithHint("remove that one (sbx volume rm %s) or choose another name", want.Name)
		}
	}
	if len(want.Options) > 0 && !maps.Equal(want.Options, there.Options) {
		return api.Errorf(createOp, want.Name, "there is one of that name, with other options").
			WithHint("remove that one (sbx volume rm %s) or choose another name", want.Name)
	}
	return nil
}

// Ensure makes a volume unless there is one of that name. made says which of it is
// true. A durable one survives a power cut once this returns.
func (s *Store) Ensure(v Volume, durable bool) (made bool, err error) {
	if err := s.Check(v); err != nil {
		return false, err
	}
	s.mu.Lock()
	there := s.all[v.Name] != nil
	s.mu.Unlock()
	if there {
		return false, nil
	}
	v.Created = time.Now().UTC()
	temp, err := s.build(&v, durable)
	if err == nil {
		made, err = s.enter(temp, &v)
	}
	if temp != "" && !made {
		err = errors.Join(err, os.RemoveAll(temp))
	}
	if err == nil && made && durable {
		err = syncPath(s.Dir)
	}
	if err != nil {
		return made, dirs.DiskError(createOp, v.Name, err)
	}
	return made, nil
}

// enter gives a volume its name, unless another one has just got it.
func (s *Store) enter(temp string, v *Volume) (made bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.all[v.Name]; e != nil {
		return false, differs(&e.Volume, v)
	}
	// What has the name is not a volume that we know: it is not ours to replace.
	err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, filepath.Join(s.Dir, v.Name), unix.RENAME_NOREPLACE)
	if err != nil {
		return false, &os.PathError{Op: "rename to", Path: filepath.Join(s.Dir, v.Name), Err: err}
	}
	s.all[v.Name] = &entry{Volume: *v}
	return true, nil
}

// build makes everything of a volume under another name, which it gives as soon as
// there is anything.
func (s *Store) build(v *Volume, durable bool) (temp string, err error) {
	temp, err = os.MkdirTemp(s.Dir, making)
	if err != nil {
		return "", err
	}
	data := filepath.Join(temp, dataDir)
	if err := os.Mkdir(data, 0o755); err != nil {
		return temp, err
	}
	if err := os.Chmod(data, 0o755); err != nil { // whatever the umask
		return temp, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return temp, err
	}
	f, err := os.OpenFile(filepath.Join(temp, record), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return temp, err
	}
	_, err = f.Write(text)
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && durable {
		err = syncPath(temp)
	}
	return temp, err
}

func syncPath(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
