package image

import (
	"archive/tar"
	"hash/maphash"
	"path"
	"strings"

	"sbx/api"
)

// Limits of Linux: NAME_MAX and PATH_MAX without the final NUL.
const (
	nameMax = 255
	pathMax = 4095
)

const (
	repack   = "unpack it and pack it again: tar -C DIR -c . > NEW.tar"
	makeRoom = "free some space, or set SBX_DATA to a directory elsewhere"
	// distrust is the advice for a layer: whoever pulls it has not made it.
	distrust = "this image is damaged or made to do harm: do not use it, and tell whoever publishes it"
)

// checker decides entry by entry whether an archive may be unpacked: what keeps a
// computer from harm for every layer, and what is plainly right for a root file
// system that somebody packed himself.
type checker struct {
	rootfs     bool
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

func newChecker(rootfs bool) *checker {
	return &checker{rootfs: rootfs, seed: maphash.MakeSeed(), seen: map[uint64]byte{}, symlinks: map[string]struct{}{}}
}

// advice is what to do about a bad archive: what it says for one of the user's own.
func (c *checker) advice(own string) string {
	if c.rootfs {
		return own
	}
	return distrust
}

// refuse is an error about the archive.
func (c *checker) refuse(own, format string, args ...any) *api.Error {
	return refuse(c.advice(own), format, args...)
}

// refuse is an error about the archive as a whole; its Path is filled in by Stage.
func refuse(hint, format string, args ...any) *api.Error {
	return api.Errorf("import", "", format, args...).WithHint("%s", hint)
}

// check returns the cleaned name if h may be unpacked after everything before it.
func (c *checker) check(h *tar.Header) (string, *api.Error) {
	if err := c.count(h); err != nil {
		return "", err
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return "", nil
	}
	name, err := c.name(h.Name, "entry")
	if err != nil {
		return "", err
	}
	if name == "." && h.Typeflag != tar.TypeDir {
		return "", c.refuse("pack a directory: tar -C DIR -c . > NEW.tar", "entry %q would replace the root directory", h.Name)
	}
	if err := c.whiteout(h, name); err != nil {
		return "", err
	}
	if c.rootfs {
		key := maphash.String(c.seed, name)
		if _, twice := c.seen[key]; twice {
			return "", refuse(repack, "entry %q is there twice", h.Name)
		}
		c.seen[key] = h.Typeflag
	}
	if err := c.owner(h); err != nil {
		return "", err
	}
	if err := c.xattrs(h); err != nil {
		return "", err
	}
	return name, c.kind(h, name)
}

// whiteout refuses names that delete files of a layer below: all where there are no
// layers, and for a layer those of directories, which mean nothing.
func (c *checker) whiteout(h *tar.Header, name string) *api.Error {
	if !strings.Contains(name, whiteout) {
		return nil
	}
	above, base := split(name)
	inDir := strings.HasPrefix(above, whiteout) || strings.Contains(above, "/"+whiteout)
	if c.rootfs && (inDir || strings.HasPrefix(base, whiteout)) {
		return refuse("import a whole root file system, not one layer of an image",
			"entry %q is a whiteout, which deletes a file of a layer below", h.Name)
	}
	if inDir && !strings.HasPrefix(name, whiteoutMeta) {
		return refuse(distrust, "entry %q is in a directory with the name of a whiteout", h.Name)
	}
	return nil
}

func (c *checker) kind(h *tar.Header, name string) *api.Error {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeFifo, tar.TypeGNUSparse:
	case tar.TypeChar, tar.TypeBlock: // not made: a user namespace cannot
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > pathMax || strings.Contains(h.Linkname, "\x00") {
			return c.refuse(repack, "symbolic link %q has a target of %d bytes", h.Name, len(h.Linkname))
		}
		if c.rootfs {
			c.symlinks[name] = struct{}{}
		}
	case tar.TypeLink:
		if c.rootfs {
			return c.hardLink(h, name)
		}
	default:
		return c.refuse(repack, "entry %q is of the unknown type %q", h.Name, h.Typeflag)
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

// name cleans a name, "." is the root. Of a layer, an absolute name is one below the
// root, as for Docker, and ".." may lead anywhere but out; a root file system has
// plain names only.
func (c *checker) name(name, what string) (string, *api.Error) {
	clean := path.Clean(name)
	if !c.rootfs && path.IsAbs(name) {
		clean = path.Clean(strings.TrimLeft(name, "/"))
	}
	switch {
	case name == "", strings.Contains(name, "\x00"):
		return "", c.refuse(repack, "%s without a name", what)
	case c.rootfs && path.IsAbs(name):
		return "", refuse("pack it with relative names: tar -C DIR -c . > NEW.tar", "%s %q is an absolute path", what, name)
	case len(clean) > pathMax:
		return "", c.refuse(repack, "%s has a name of %d bytes, %d is the limit", what, len(clean), pathMax)
	case clean == "..", strings.HasPrefix(clean, "../"):
		return "", c.refuse("do not trust this archive", "%s %q climbs out with \"..\"", what, name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." && c.rootfs {
			return "", refuse("do not trust this archive", "%s %q climbs out with \"..\"", what, name)
		}
		if len(c.own(part)) > nameMax {
			return "", c.refuse(repack, "%s has a file name of %d bytes, %d is the limit", what, len(part), nameMax)
		}
	}
	if link := c.through(clean); link != "" {
		return "", refuse("do not trust this archive; if it is yours, "+repack,
			"%s %q goes through the symbolic link %q of the same archive", what, name, link)
	}
	return clean, nil
}

// own is the name that a file would have: of a whiteout, that of what it hides.
func (c *checker) own(part string) string {
	if c.rootfs {
		return part
	}
	return strings.TrimPrefix(part, whiteout)
}

// through returns the directory part of name that the archive made a symbolic
// link, if there is one. It would be followed, inside the root: nothing escapes,
// but a file appears where its name does not say.
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
// userxattr: a layer could redirect or hide directories with them.
func (c *checker) xattrs(h *tar.Header) *api.Error {
	for key := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, xattrPrefix)
		if ok && ofOverlay(attr) {
			return c.refuse("pack it without: tar --xattrs-exclude='user.overlay.*' --xattrs-exclude='user.containers.*' --xattrs-exclude='user.fuseoverlayfs.*'",
				"entry %q has the attribute %q, which would change how overlay shows it", h.Name, attr)
		}
	}
	return nil
}

// ofOverlay says that an attribute is one by which overlay or fuse-overlayfs marks
// things.
func ofOverlay(attr string) bool {
	return strings.HasPrefix(attr, "user.overlay.") || strings.HasPrefix(attr, "user.containers.") || strings.HasPrefix(attr, "user.fuseoverlayfs.")
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
		return c.refuse("import a part of it", "more than %d entries", maxEntries)
	case c.headers > maxHeaders:
		return c.refuse("import a part of it", "more than %s of names and attributes", human(maxHeaders))
	case c.room.inodes >= 0 && c.entries > c.room.inodes:
		return refuse("delete files, or set SBX_DATA to a directory elsewhere",
			"more entries than the file system has inodes left (%d)", c.room.inodes)
	}
	if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeGNUSparse {
		// One at a time and compared by subtraction: a size may be near 2^63.
		if h.Size > c.room.bytes-c.size {
			return refuse(makeRoom,
				"entry %q of %s does not fit: %s would be left for it", h.Name, human(h.Size), human(max(0, c.room.bytes-c.size)))
		}
		c.size += (h.Size + block - 1) / block * block
	}
	return nil
}
