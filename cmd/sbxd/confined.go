package main

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/confined"
	"sbx/doctor"
	"sbx/internal/dirs"
	"sbx/sandbox"
)

// requestFD is where sbx run has left its request before it executed this program.
const requestFD = 3

// requestTime is for a request that has been sent already.
const requestTime = 10 * time.Second

// confine is sbx run host where the supervisor has found no user namespaces. That is
// tried again here: nobody gets less than a sandbox because of a passing failure.
func confine() int {
	status, err := confineProgram()
	var e *api.Error
	switch {
	case errors.As(err, &e):
		complain(err)
		return e.ExitCode()
	case err != nil:
		return complain(err)
	}
	return status
}

func confineProgram() (int, error) {
	run, launch, err := takeRequest()
	if err != nil {
		return 0, err
	}
	// As for the supervisor: the helpers are looked up where it does.
	if err := os.Setenv("PATH", withSystemDirs(os.Getenv("PATH"))); err != nil {
		return 0, err
	}
	d, err := dirs.Find()
	if err != nil {
		return 0, err
	}
	if err := d.Make(); err != nil {
		return 0, err
	}
	cause := doctor.Namespaceless(context.Background())
	if cause == nil {
		return 0, launch
	}
	p := confined.Program{Run: run, Cause: *cause, Hidden: sandbox.Hidden(d, &run.Spec.Caller), Place: d.Run}
	return p.Start()
}

// takeRequest reads the request, and why the supervisor did not start, and closes the
// socket.
func takeRequest() (run *api.Run, launch *api.Error, err error) {
	const op = "read the request"
	unix.CloseOnExec(requestFD)
	conn, err := api.ConnFd(requestFD, "request")
	if err != nil {
		return nil, nil, api.Wrap(op, "", err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(requestTime)); err != nil {
		return nil, nil, api.Wrap(op, "", err)
	}
	var packets [2]*api.Packet
	for i := range packets {
		if packets[i], err = conn.Recv(); err != nil {
			return nil, nil, api.Wrap(op, "", err)
		}
	}
	run = &api.Run{}
	if err := packets[0].Decode(run); err != nil {
		return nil, nil, err
	}
	if run.Spec.Image != api.HostImage || packets[1].Error == nil {
		return nil, nil, api.Errorf(op, run.Spec.Image, "it is none for the image host").WithHint("run: sbx run host")
	}
	return run, packets[1].Error, nil
}
