package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbx/internal/dirs"
)

// keyVersion is a part of every key: it changes when the same instruction would be
// carried out in another way.
const keyVersion = "1"

// key is what identifies the files after a step: how they have come about.
type key string

// newKey makes a key of words. Each is told from the next one, so that no two lists
// have the same key.
func newKey(words ...string) key {
	h := sha256.New()
	for _, w := range append([]string{keyVersion}, words...) {
		h.Write([]byte(strconv.Itoa(len(w)) + ":" + w))
	}
	return key(hex.EncodeToString(h.Sum(nil)))
}

// list makes one word of several.
func list(words ...string) string { return string(newKey(words...)) }

// entry is what the cache knows of a step.
type entry struct {
	Layer   string    `json:"layer,omitempty"`  // in the store, that the step has made; empty: it has changed nothing
	Parent  string    `json:"parent,omitempty"` // the layer below
	Key     key       `json:"key"`              // of the files after the step, whichever key this was found by
	Created time.Time `json:"created"`
	Title   string    `json:"title"`
}

// cache is the directory of entries: one file each, called by the key. Its time of
// change is when the entry was last used.
type cache struct{ dir string }

// find gives the entry of a key; nil: there is none.
func (c *cache) find(k key) *entry {
	path := filepath.Join(c.dir, string(k))
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var e entry
	if json.Unmarshal(data, &e) != nil {
		return nil // it will be written anew
	}
	return &e
}

// used notes that an entry has been of use. That it could not be is no matter.
func (c *cache) used(k key) {
	_ = unix.Utimes(filepath.Join(c.dir, string(k)), nil)
}

// put writes an entry. Its layer is on the disk.
func (c *cache) put(k key, e *entry) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(c.dir, newEntry+"*")
	if err != nil {
		return dirs.DiskError("create", c.dir, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.dir, string(k)))
	}
	if err != nil {
		return dirs.DiskError("write", f.Name(), errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// newEntry begins the names of files that are not complete.
const newEntry = "new-"

// record is an entry with its name.
type record struct {
	key  key
	used time.Time
	entry
}

// all are the entries there are. What cannot be read is removed.
func (c *cache) all() ([]record, error) {
	files, err := os.ReadDir(c.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []record
	for _, f := range files {
		if strings.HasPrefix(f.Name(), newEntry) {
			continue // somebody is just writing it
		}
		st, err := f.Info()
		e := c.find(key(f.Name()))
		if err != nil || e == nil {
			if err := c.remove(key(f.Name())); err != nil {
				return nil, err
			}
			continue
		}
		list = append(list, record{key(f.Name()), st.ModTime(), *e})
	}
	return list, nil
}

func (c *cache) remove(k key) error {
	err := os.Remove(filepath.Join(c.dir, string(k)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
