package pid1

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Main is the first process of a sandbox. Its second argument is a Namespaces,
// its third the directory of mount points.
func Main() int {
	control, err := takeControl()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbx-pid1:", err)
		return api.ExitFault
	}
	box, err := prepare()
	if err != nil {
		return fault(control, err)
	}
	if err := control.Send(KindReady, nil); err != nil {
		return api.ExitFault // the monitor is gone, and we with it
	}
	var spec Spec
	packet, err := receive(control, &spec)
	if packet == nil {
		return api.ExitFault
	}
	if err == nil {
		err = box.build(&spec)
	}
	if err == nil {
		err = start(control, &spec.Program, packet.Files, box)
	}
	return fault(control, err)
}

// Enter is a further program in a running sandbox, whose namespaces the process
// is in already.
func Enter() int {
	control, err := takeControl()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbx-enter:", err)
		return api.ExitFault
	}
	var program Program
	packet, err := receive(control, &program)
	if packet == nil {
		return api.ExitFault
	}
	if err == nil {
		err = start(control, &program, packet.Files, nil)
	}
	return fault(control, err)
}

// takeControl makes the process ready to change itself: capabilities, seccomp
// and namespaces belong to a thread, so there must be one that does it all.
func takeControl() (*api.Conn, error) {
	runtime.LockOSThread()
	// Nobody inside, not even a process of the same user, may look into a process
	// that still holds descriptors and capabilities of the set-up (CVE-2016-9962,
	// CVE-2020-5291).
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl PR_SET_DUMPABLE", err)
	}
	// A sandbox without a monitor would run on unseen. Whether the monitor has died
	// already shows on the socket.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl PR_SET_PDEATHSIG", err)
	}
	unix.CloseOnExec(Control)
	unix.CloseOnExec(Self)
	return api.NewConn(os.NewFile(Control, "control"))
}

// receive gives no packet when the monitor has gone: there is nobody to tell.
func receive(control *api.Conn, into any) (*api.Packet, error) {
	packet, err := control.Recv()
	if err == io.EOF {
		return nil, err
	}
	if err != nil {
		return &api.Packet{}, err
	}
	if packet.Kind != KindSpec {
		return packet, api.Errorf("start the sandbox", "", "the monitor sent %q, want %q", packet.Kind, KindSpec)
	}
	return packet, json.Unmarshal(packet.Body, into)
}

func fault(control *api.Conn, err error) int {
	e := api.Wrap("start the sandbox", "", err)
	if err := control.Send(KindFault, e); err != nil {
		fmt.Fprintln(os.Stderr, "sbx:", e)
	}
	return e.ExitCode()
}
