package sandbox

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/sandbox/pid1"
)

// account is the caller as the image's /etc/passwd is to know it; nil: it need not.
// With ids that are chosen it is not the caller that they mean.
func account(c *api.Config) *pid1.Account {
	uid, gid, ok := keptIDs(c)
	if !ok || c.Image == api.HostImage {
		return nil
	}
	a := &pid1.Account{UID: uid, GID: gid, Home: c.Process.WorkDir}
	if uid == c.Caller.UID {
		a.Name = c.Caller.Name
		if inMount(c.Mounts, c.Caller.Home) {
			a.Home = c.Caller.Home
		}
	}
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil && gid == c.Caller.GID {
		a.Group = g.Name
	}
	return a
}

// inMount says whether a directory of the host can be in a sandbox.
func inMount(mounts []api.Mount, dir string) bool {
	for _, m := range mounts {
		if dir != "" && covered([]string{filepath.Clean("/" + m.Target)}, filepath.Clean(dir)) {
			return true
		}
	}
	return false
}

// addedAccounts says which files of an upper directory, relative to it, differ from the
// image's by nothing but the line that account has added at the start. Those are no part
// of what the sandbox has changed, as little as its /etc/hosts. Once a program has
// changed such a file, all of it is.
func (s *Supervisor) addedAccounts(c *api.Config, upper *os.File) ([]string, error) {
	a := account(c)
	if a == nil {
		return nil, nil
	}
	passwd, group := a.Lines()
	var lower *os.File
	uids, gids := s.otherOwners(c)
	var added []string
	for path, line := range map[string]string{"etc/passwd": passwd, "etc/group": group} {
		now, nowOf, err := accountFile(upper, path)
		if err != nil {
			return nil, err
		}
		if now == nil {
			continue
		}
		if lower == nil {
			if lower, err = s.openLower(c); err != nil {
				return nil, err
			}
			defer lower.Close()
		}
		was, wasOf, err := accountFile(lower, path)
		if err != nil {
			return nil, err
		}
		if was == nil {
			continue
		}
		if len(was) > 0 && was[len(was)-1] != '\n' {
			was = append(was, '\n')
		}
		if bytes.Equal(now, append(was, line...)) && nowOf.Mode == wasOf.Mode &&
			int(nowOf.Uid) == uids.Apply(int(wasOf.Uid)) && int(nowOf.Gid) == gids.Apply(int(wasOf.Gid)) {
			added = append(added, path)
		}
	}
	return added, nil
}

// accountFile reads a regular file of a few megabytes at most, with a path that has no
// links in it; nil: there is none.
func accountFile(root *os.File, path string) ([]byte, *unix.Stat_t, error) {
	const most = 8 << 20 // as the first process of a sandbox has it
	fd, err := unix.Openat2(int(root.Fd()), path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS,
	})
	switch err {
	case nil:
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EAGAIN:
		return nil, nil, nil
	case unix.ENXIO, unix.EACCES: // a device node: it has been deleted
		return nil, nil, nil
	default:
		return nil, nil, api.Wrap("open", "/"+path, err)
	}
	f := os.NewFile(uintptr(fd), "/"+path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, nil, api.Wrap("stat", "/"+path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, nil, nil
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, nil, api.Wrap("read", "/"+path, errors.Unwrap(err))
	}
	if len(text) > most {
		return nil, nil, nil
	}
	return text, &st, nil
}
