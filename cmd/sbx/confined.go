package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// confine runs a program of the host where there are no user namespaces, if that is
// why it did not run: this process becomes one that Landlock confines programs with.
// err is what run has to say otherwise.
func confine(r *api.Run, o runFlags, f *specFlags, err error) error {
	var e *api.Error
	if r.Spec.Image != api.HostImage || !errors.As(err, &e) || !e.Namespaceless {
		return err
	}
	if os.Getuid() == 0 {
		return err // root's files would be the program's
	}
	switch {
	case f.cidFile != "":
		return &flagError{"--cidfile: without user namespaces there is no id"}
	case o.keys != defaultDetachKeys:
		return &flagError{"--detach-keys: without user namespaces the program cannot be left running"}
	case !o.sigProxy:
		return &flagError{"--sig-proxy=false: not possible without user namespaces"}
	}
	ours, theirs, err := api.Pair("request")
	if err != nil {
		return err
	}
	defer ours.Close()
	defer theirs.Close()
	// It waits in the socket, whose other end goes along: a secret in an environment
	// is in no argument.
	if err := errors.Join(ours.Send(api.VerbRun, r), ours.Send(api.KindFault, e)); err != nil {
		return err
	}
	const requestFD = 3
	if fd := fdOf(theirs.File()); fd != requestFD {
		err = unix.Dup3(fd, requestFD, 0)
	} else {
		_, err = unix.FcntlInt(requestFD, unix.F_SETFD, 0)
	}
	if err != nil {
		return api.Wrap("pass the request on", "", err)
	}
	return becomeSupervisor([]string{"sbxd", "confined"})
}
