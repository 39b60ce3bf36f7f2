package pid1

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
)

// bindOptions is what the options of a bind mean.
type bindOptions struct {
	attr     uint64
	readOnly bool
	writable bool // what is mounted below is not read-only
	flat     bool // without what is mounted below
	slave    bool // what the host mounts there later is seen
	chown    bool
	overlay  bool // the source is below an overlay
}

func parseBind(m *api.Mount) (bindOptions, error) {
	o := bindOptions{attr: sys.NOSUID | sys.NODEV, readOnly: m.ReadOnly}
	for _, word := range strings.Split(m.Options, ",") {
		switch word {
		case "":
		case api.OptNoExec:
			o.attr |= sys.NOEXEC
		case api.OptSuid:
			o.attr &^= sys.NOSUID
		case api.OptDev, api.OptDevice:
			o.attr &^= sys.NODEV
		case api.OptFlat:
			o.flat = true
		case api.OptWritable:
			o.writable = true
		case api.OptSlave, api.OptRslave:
			o.slave = true
		case api.OptChown:
			o.chown = true
		case api.OptOverlay:
			o.overlay, o.flat = true, true
		default:
			return o, api.Errorf("bind", m.Source, "unknown option %q", word)
		}
	}
	return o, nil
}

// clone makes a detached copy of the mount at an open file or directory.
func (o *bindOptions) clone(source int, m *api.Mount) (int, error) {
	tree, err := sys.CloneTree(source, "", !o.flat)
	if err == nil {
		return tree, nil
	}
	e := api.Wrap("bind", m.Source, errors.Unwrap(err))
	if errors.Is(err, unix.ENOSPC) { // a detached mount counts as a mount namespace
		return -1, e.WithHint("a limit of namespaces is reached (/proc/sys/user/max_*_namespaces): %s", remedy.MaxUserNamespaces().Text)
	}
	if o.overlay && errors.Is(err, unix.EINVAL) {
		return -1, e.WithHint("something is mounted below it, and an overlay does not show that: name a directory without mounts in it")
	}
	if o.flat && errors.Is(err, unix.EINVAL) {
		// mount_namespaces(7): mounts that came from a more privileged namespace cannot
		// be taken apart, since what they cover would show.
		e.WithHint("something is mounted below it, and what that hides must stay hidden: bind it recursively, or a directory without mounts in it")
	}
	return -1, e
}

// restrict makes a copy what the options say. Read-only holds for all mounts in it,
// mount_setattr(2), unless the user wants it otherwise.
func (o *bindOptions) restrict(tree int) error {
	attr := unix.MountAttr{Attr_set: o.attr, Propagation: unix.MS_PRIVATE}
	if o.slave {
		attr.Propagation = unix.MS_SLAVE
	}
	if o.readOnly && !o.writable {
		attr.Attr_set |= sys.RDONLY
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return err
	}
	if o.readOnly && o.writable {
		return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: sys.RDONLY})
	}
	return nil
}
