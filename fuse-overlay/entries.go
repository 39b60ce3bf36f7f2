package fuseoverlay

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// entry is one name of a directory, and its kind as getdents64 has it: DT_UNKNOWN
// where the file system does not tell.
type entry struct {
	name    string
	kind    byte
	deleted bool // it is the name of what fuse-overlayfs hides by the name of another file
}

// entries reads a directory, sorted. os.File has no way to do it that does not look
// up by path what is of an unknown kind. The buffer is used for reading.
func entries(dir *os.File, buf []byte, marks Marks) ([]entry, error) {
	var list []entry
	for {
		n, err := unix.Getdents(int(dir.Fd()), buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "getdents64", Path: dir.Name(), Err: err}
		}
		if n <= 0 {
			break
		}
		list = appendEntries(list, buf[:n])
	}
	if marks == FUSE {
		list = withoutMarks(list)
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// withoutMarks has, in place of the names by which fuse-overlayfs marks, what they
// hide.
func withoutMarks(list []entry) []entry {
	kept := list[:0]
	for _, e := range list {
		hidden, is := byName(e.name)
		switch {
		case !is:
			kept = append(kept, e)
		case hidden != "":
			kept = append(kept, entry{name: hidden, deleted: true})
		}
	}
	return kept
}

// appendEntries takes struct linux_dirent64 apart: inode and offset of 8 bytes each,
// 2 of the length of the record, 1 of the kind, and a name that ends with a NUL.
func appendEntries(list []entry, raw []byte) []entry {
	const head = 8 + 8 + 2 + 1
	// All names are parts of one string: an allocation for each would be the most of
	// the time that it takes.
	text := string(raw)
	for at := 0; at+head <= len(raw); {
		size := int(binary.NativeEndian.Uint16(raw[at+16:]))
		if size < head || at+size > len(raw) {
			break
		}
		name := text[at+head : at+size]
		if end := bytes.IndexByte(raw[at+head:at+size], 0); end >= 0 {
			name = name[:end]
		}
		if name != "." && name != ".." {
			list = append(list, entry{name: name, kind: raw[at+18]})
		}
		at += size
	}
	return list
}
