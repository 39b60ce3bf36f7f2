package image

import (
	"archive/tar"
	"hash/maphash"
	"path"
	"strings"
	"unicode/utf8"

	"sbx/api"
)

// Limits of Linux: NAME_MAX and PATH_MAX without the final NUL.
const (
	nameMax = 255
	pathMax = 4095
)

const repack = "unpack it and pack it again: tar -C DIR -c . > NEW.tar"

// checker decides entry by entry whether an archive may be unpacked. It holds
// the rules that the storage library does not have, or enforces by silently
// putting the file somewhere else.
type checker struct {
	uids, gids idMap
	squash     bool // one id only: ownership is not kept
	room       room
	entries    int64
	headers    int64 // bytes of names and PAX records so far
	size       int64 // bytes on disk so far, as announced by the headers
	seed       maphash.Seed
	seen       map[uint64]byte     // hash of a cleaned name -> type
	symlinks   map[string]struct{} // cleaned names
}

func newChecker() *checker {
	return &checker{seed: maphash.MakeSeed(), seen: map[uint64]byte{}, symlinks: map[string]struct{}{}}
}

// refuse is an error about the archive as a whole; its Path is filled in by Import.
func refuse(hint, format string, args ...any) *api.Error {
	return api.Errorf("import", "", format, args...).WithHint("%s", hint)
}

// check returns nil if h may be unpacked after everything before it.
func (c *checker) check(h *tar.Header) *api.Error {
	if err := c.count(h); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := c.name(h.Name, "entry")
	if err != nil {
		return err
	}
	if name == "." && h.Typeflag != tar.TypeDir {
		return refuse("pack a directory: tar -C DIR -c . > NEW.tar", "entry %q would replace the root directory", h.Name)
	}
	if strings.HasPrefix(path.Base(name), ".wh.") {
		return refuse("import a whole root file system, not one layer of an image",
			"entry %q is a whiteout, which deletes a file of a layer below", h.Name)
	}
	// Two entries of one name are also what the storage library cannot keep a
	// record of.
	key := maphash.String(c.seed, name)
	if _, twice := c.seen[key]; twice {
		return refuse(repack, "entry %q is there twice", h.Name)
	}
	c.seen[key] = h.Typeflag
	if err := c.owner(h); err != nil {
		return err
	}
	if err := c.xattrs(h); err != nil {
		return err
	}
	return c.kind(h, name)
}

func (c *checker) kind(h *tar.Header, name string) *api.Error {
	switch h.Typeflag {
	case tar.TypeDir:
		if !utf8.ValidString(name) {
			return refuse("rename the directory", "entry %q is a directory whose name is not UTF-8", h.Name)
		}
	case tar.TypeReg, tar.TypeFifo:
	case tar.TypeChar, tar.TypeBlock: // the storage library skips them in a user namespace
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > pathMax {
			return refuse(repack, "symbolic link %q has a target of %d bytes", h.Name, len(h.Linkname))
		}
		c.symlinks[name] = struct{}{}
	case tar.TypeLink:
		return c.hardLink(h, name)
	case tar.TypeGNUSparse:
		return refuse("pack it without --sparse, or with --format=posix", "entry %q is a GNU sparse file", h.Name)
	default:
		return refuse(repack, "entry %q is of the unknown type %q", h.Name, h.Typeflag)
	}
	return nil
}

// hardLink wants a target that has been unpacked. link(2) has none for directories.
func (c *checker) hardLink(h *tar.Header, name string) *api.Error {
	target, err := c.name(h.Linkname, "hard link target")
	if err != nil {
		return err
	}
	kind, there := c.seen[maphash.String(c.seed, target)]
	if !there || target == name {
		return refuse(repack, "hard link %q to %q, which is not in the archive before it", h.Name, h.Linkname)
	}
	switch kind {
	case tar.TypeDir:
		return refuse(repack, "hard link %q to %q, a directory", h.Name, h.Linkname)
	case tar.TypeChar, tar.TypeBlock:
		return refuse(repack, "hard link %q to %q, a device node", h.Name, h.Linkname)
	}
	return nil
}

// name cleans a name and refuses one that is not plainly below the root.
func (c *checker) name(name, what string) (string, *api.Error) {
	clean := path.Clean(name)
	switch {
	case name == "":
		return "", refuse(repack, "%s without a name", what)
	case path.IsAbs(name):
		return "", refuse("pack it with relative names: tar -C DIR -c . > NEW.tar", "%s %q is an absolute path", what, name)
	case len(clean) > pathMax:
		return "", refuse(repack, "%s has a name of %d bytes, %d is the limit", what, len(clean), pathMax)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", refuse("do not trust this archive", "%s %q climbs out with \"..\"", what, name)
		}
		if len(part) > nameMax {
			return "", refuse(repack, "%s has a file name of %d bytes, %d is the limit", what, len(part), nameMax)
		}
	}
	// The storage library adds up the sizes with io/fs, which knows no others.
	if dir, _ := path.Split(name); !utf8.ValidString(dir) {
		return "", refuse("rename the directory", "%s %q is in a directory whose name is not UTF-8", what, name)
	}
	if link := c.through(clean); link != "" {
		return "", refuse("do not trust this archive; if it is yours, "+repack,
			"%s %q goes through the symbolic link %q of the same archive", what, name, link)
	}
	return clean, nil
}

// through returns the directory part of name that the archive made a symbolic
// link, if there is one. The storage library would follow it, inside the root:
// nothing escapes, but a file appears where its name does not say.
func (c *checker) through(name string) string {
	if len(c.symlinks) == 0 {
		return ""
	}
	for i := range len(name) {
		if name[i] == '/' {
			if _, ok := c.symlinks[name[:i]]; ok {
				return name[:i]
			}
		}
	}
	return ""
}

func (c *checker) owner(h *tar.Header) *api.Error {
	if c.squash || h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		return nil
	}
	const hint = "pack it with smaller ids, or ask the administrator for a larger range in /etc/subuid and /etc/subgid"
	if !c.uids.has(int64(h.Uid)) {
		return refuse(hint, "entry %q belongs to user id %d, you have %d ids", h.Name, h.Uid, c.uids.size())
	}
	if !c.gids.has(int64(h.Gid)) {
		return refuse(hint, "entry %q belongs to group id %d, you have %d ids", h.Name, h.Gid, c.gids.size())
	}
	return nil
}

// xattrs refuses the ones that overlay itself reads when it is mounted with
// userxattr: a layer could redirect or hide directories with them. trusted.* and
// the rest of security.* cannot be set in a user namespace and are left out by
// the storage library.
func (c *checker) xattrs(h *tar.Header) *api.Error {
	const prefix = "SCHILY.xattr."
	for key := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, prefix)
		if ok && (strings.HasPrefix(attr, "user.overlay.") || strings.HasPrefix(attr, "user.containers.")) {
			return refuse("pack it without: tar --xattrs-exclude='user.overlay.*' --xattrs-exclude='user.containers.*'",
				"entry %q has the attribute %q, which would change how overlay shows it", h.Name, attr)
		}
	}
	return nil
}

// count keeps the sums, before anything of the entry is unpacked.
func (c *checker) count(h *tar.Header) *api.Error {
	c.entries++
	c.headers += int64(len(h.Name) + len(h.Linkname))
	for k, v := range h.PAXRecords {
		c.headers += int64(len(k) + len(v))
	}
	switch {
	case c.entries > maxEntries:
		return refuse("import a part of it", "more than %d entries", maxEntries)
	case c.headers > maxHeaders:
		return refuse("import a part of it", "more than %s of names and attributes", human(maxHeaders))
	case c.room.inodes >= 0 && c.entries > c.room.inodes:
		return refuse("delete files, or set SBX_DATA to a directory elsewhere",
			"more entries than the file system has inodes left (%d)", c.room.inodes)
	}
	if h.Typeflag == tar.TypeReg {
		// One at a time and compared by subtraction: a size may be near 2^63.
		if h.Size > c.room.bytes-c.size {
			return refuse("free some space, or set SBX_DATA to a directory elsewhere",
				"entry %q of %s does not fit: %s would be left for it", h.Name, human(h.Size), human(max(0, c.room.bytes-c.size)))
		}
		c.size += (h.Size + block - 1) / block * block
	}
	return nil
}
