package userns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sbx/api"
)

// Helpers makes directory dir with stand-ins for newuidmap, newgidmap and
// getsubids, all of them links to exe. At the front of $PATH, and with
// $GETSUBIDS set to the last, they let rootlesskit make a namespace with the
// user's own id alone, or with those that are given: exe calls Helper first of all.
func Helpers(dir, exe string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"newuidmap", "newgidmap", "getsubids"} {
		link := filepath.Join(dir, name)
		// Of an earlier version, perhaps in another place.
		if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.Symlink(exe, link); err != nil {
			return err
		}
	}
	return nil
}

// Helper plays the part that the program was called by, if it is one of a
// helper, and says whether it did.
func Helper(args []string) (bool, error) {
	write := ownID
	g, err := given()
	if g != nil {
		write = writeGiven
	}
	switch filepath.Base(args[0]) {
	case "newuidmap":
		return true, errors.Join(err, write(args[1:], "uid_map"))
	case "newgidmap":
		return true, errors.Join(err, write(args[1:], "gid_map"))
	case "getsubids":
		if g != nil {
			return true, g.print(args[1:])
		}
		return true, errors.Join(err, noRange())
	}
	return false, nil
}

// ownID writes the one line of a map that needs no privilege. The arguments are
// those of newuidmap(1): PID, then inside, outside and length of each extent, of
// which the first is the user's own id.
func ownID(args []string, file string) error {
	if len(args) < 4 || filepath.Base(args[0]) != args[0] || args[3] != "1" {
		return api.Errorf("write "+file, "", "usage: PID INSIDE OUTSIDE 1 ...")
	}
	proc := filepath.Join("/proc", args[0])
	if file == "gid_map" {
		// An unprivileged gid map is accepted only from who can no longer drop
		// a group that denies access. Linux 3.19, CVE-2014-8989.
		if err := os.WriteFile(filepath.Join(proc, "setgroups"), []byte("deny"), 0); err != nil {
			return err
		}
	}
	line := fmt.Sprintf("%s %s 1", args[1], args[2])
	return os.WriteFile(filepath.Join(proc, file), []byte(line), 0)
}

// noRange prints a range that nobody will use: rootlesskit wants one.
func noRange() error {
	_, err := fmt.Println("0: nobody 4294000000 1")
	return err
}
