package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"sbx/doctor"
	"sbx/internal/dirs"
	"sbx/sandbox"
)

// settle finds a place for the data, unless the user has named one: the usual one, or
// one on a disk of this machine if the file system there cannot hold images, as a home
// directory on another machine. What is kept somewhere stays there.
func settle(ctx context.Context, d dirs.Dirs) (dirs.Dirs, error) {
	usual, named, err := dirs.Usual()
	if err != nil || named {
		return d, err
	}
	if !d.Settled(usual) && !dirs.Inhabited(usual) {
		// The helpers are looked up where the supervisor's will be.
		if err := os.Setenv("PATH", withSystemDirs(os.Getenv("PATH"))); err != nil {
			return d, err
		}
		place, known := choose(ctx, usual)
		if !known {
			return d, nil // nor will there be a supervisor
		}
		if err := d.Settle(usual, place); err != nil {
			return d, err
		}
		d.Data = place
	}
	if d.Data == usual {
		return d, nil
	}
	if d.Data, err = dirs.MakeLocal(); err != nil {
		return d, err
	}
	keepFromCleaning(d.Data)
	return d, os.Setenv(sandbox.ElsewhereEnv, usual)
}

// choose tries the places in turn. Where none of them will do it is the usual one, and
// what needs more says what is wrong with it. Nothing is known without namespaces.
func choose(ctx context.Context, usual string) (place string, known bool) {
	tried, wrong := doctor.Unfit(ctx, usual)
	if wrong != nil {
		fmt.Fprintln(os.Stderr, "sbxd:", wrong)
	}
	if wrong == nil || !tried {
		return usual, tried
	}
	local, err := dirs.MakeLocal()
	if err == nil && !dirs.Inhabited(local) {
		_, err = doctor.Unfit(ctx, local)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbxd:", err)
		return usual, true
	}
	return local, true
}

// keepFromCleaning locks a directory as long as this process lives: what removes old
// files from /var/tmp leaves it out then. systemd, "Using /tmp/ and /var/tmp/ Safely".
func keepFromCleaning(dir string) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbxd: lock", dir+":", err)
	}
}
