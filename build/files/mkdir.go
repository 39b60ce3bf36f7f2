package files

import (
	"context"
	"strings"

	"sbx/api"
)

// MkdirOptions are those of a directory that is made.
type MkdirOptions struct {
	Chown string // USER[:GROUP]; empty: root
	Epoch *int64 // SOURCE_DATE_EPOCH, seconds
}

// Mkdir makes a directory and those above it that are missing, for WORKDIR. What is
// there already stays as it is; made says whether there was something to do.
func Mkdir(to Target, path string, o MkdirOptions) (made bool, err error) {
	c := &Copy{Dest: strings.TrimSuffix(path, "/") + "/", WorkDir: "/", Chown: o.Chown, Epoch: o.Epoch}
	w, err := c.writer(context.Background(), to, nil)
	if err != nil {
		return false, err
	}
	s, err := (&resolver{root: to.Root}).find(path)
	if err == nil {
		defer s.close()
		if !s.gone {
			if s.isDir() {
				return false, nil
			}
			return false, api.Errorf("mkdir", path, "there is a file of this name")
		}
	}
	d, err := w.destination(true)
	if err != nil {
		return false, err
	}
	d.close()
	return true, nil
}
