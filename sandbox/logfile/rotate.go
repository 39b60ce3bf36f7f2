package logfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// spare is the next current file while a rotation prepares it.
const spare = "log.new"

// rotate makes the current file log.1 and starts an empty one. All records
// must have been flushed. After an error the old file goes on being current.
func (w *Writer) rotate() error {
	path := func(i int) string { return filepath.Join(w.dir, name(i)) }
	// The slot that the older files move up to: the first free one. A crash in
	// the middle of the moves leaves a free slot, which the next rotation closes:
	// readers rely on there never being two.
	last := max(w.opts.MaxFile, 1) - 1
	slot := 1
	for slot < last && exists(path(slot)) {
		slot++
	}
	if slot == last {
		// Before the new file is made, which may need the space.
		if err := removeIfThere(path(slot)); err != nil {
			return err
		}
	}
	f, err := openAppend(filepath.Join(w.dir, spare), os.O_TRUNC)
	if err != nil {
		return err
	}
	if err := w.shift(path, min(slot, last)); err != nil {
		return errors.Join(err, f.Close())
	}
	old := w.file
	w.file, w.size = f, 0
	return old.Close()
}

// shift moves every file below slot one up and the spare one to the front.
func (w *Writer) shift(path func(int) string, slot int) error {
	for i := slot; i > 0; i-- {
		// Missing: the user removed it, or a crash came between two moves.
		if err := os.Rename(path(i-1), path(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(filepath.Join(w.dir, spare), path(0))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
