package pid1

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// Account is a user that the image need not know.
type Account struct {
	Name  string // empty: the number is its name
	Group string // the same
	UID   int
	GID   int
	Home  string // empty: the root directory
}

// addAccount makes the image's /etc/passwd and /etc/group know a user and group by
// their numbers, as podman does. Who is in there already stays what it is. An image
// without these files has no names at all.
func (b *box) addAccount(a *Account) error {
	passwd, group := a.Lines()
	if err := addLine(b.root, "/etc/passwd", a.UID, 7, passwd); err != nil {
		return err
	}
	return addLine(b.root, "/etc/group", a.GID, 3, group)
}

// Lines are what is added to /etc/passwd and to /etc/group, each with its end.
func (a *Account) Lines() (passwd, group string) {
	uid, gid := strconv.Itoa(a.UID), strconv.Itoa(a.GID)
	home := a.Home
	if home == "" || strings.ContainsAny(home, ":\n") {
		home = "/"
	}
	passwd = plainName(a.Name, uid) + ":*:" + uid + ":" + gid + "::" + home + ":/bin/sh\n"
	return passwd, plainName(a.Group, gid) + ":x:" + gid + ":\n"
}

// plainName gives a name that fits into a line of /etc/passwd.
func plainName(name, number string) string {
	if name == "" || strings.ContainsAny(name, ":,\n") {
		return number
	}
	return name
}

// addLine adds a line to a file of accounts, unless a line of it has the id.
func addLine(root int, path string, id, fields int, line string) error {
	file, err := accounts(root, path)
	if err != nil {
		return err
	}
	if find(file, "", id, true, fields) != nil {
		return nil
	}
	// accounts has found a regular file, or none; there is nobody yet who could change
	// that.
	fd, err := sys.OpenInRoot(root, path, unix.O_WRONLY|unix.O_APPEND|unix.O_NONBLOCK|unix.O_NOCTTY)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if len(file) > 0 && file[len(file)-1] != '\n' {
		line = "\n" + line
	}
	if _, err := f.WriteString(line); err != nil {
		return api.Wrap("add a user to", path, errors.Unwrap(err))
	}
	return nil
}
