package logfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// repair closes the last record of the file at path if a crash cut it short. Its
// text is kept as a part of a line; half a header is removed.
func repair(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // a failing close has nothing to say: what counts is fsynced by Close of the writer
	st, err := f.Stat()
	if err != nil {
		return err
	}
	size := st.Size()
	start, err := lineStart(f, size)
	if err != nil || start == size {
		return err
	}
	if size-start < int64(maxRecord) && closeRecord(f, start, size) == nil {
		return nil
	}
	// Not a record, or no space for its newline.
	return f.Truncate(start)
}

var errNoRecord = errors.New("not a record")

func closeRecord(f *os.File, start, size int64) error {
	head := make([]byte, headLen)
	if _, err := f.ReadAt(head, start); err != nil {
		return err
	}
	if _, ok := parse(head); !ok {
		return errNoRecord
	}
	if _, err := f.WriteAt([]byte{'\n'}, size); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte{partial}, start+int64(flagAt))
	return err
}

// lineStart is the offset after the last newline before end.
func lineStart(f io.ReaderAt, end int64) (int64, error) {
	buf := make([]byte, maxRecord)
	for end > 0 {
		from := max(0, end-int64(len(buf)))
		n, err := f.ReadAt(buf[:end-from], from)
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		if err != nil && err != io.EOF {
			return 0, err
		}
		end = from
	}
	return 0, nil
}
