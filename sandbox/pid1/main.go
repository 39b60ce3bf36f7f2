package pid1

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/wire"
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
	var lacks any
	if box.lacks != (Lacks{}) {
		lacks = box.lacks
	}
	if err := control.Send(KindReady, lacks); err != nil {
		return api.ExitFault // the monitor is gone, and we with it
	}
	var spec Spec
	order, err := receive(control, &spec)
	if err == io.EOF {
		return api.ExitFault // the monitor is gone: there is nobody to tell
	}
	if err == nil {
		if order.root != nil {
			box.root = int(order.root.Fd())
		}
		err = box.build(&spec)
	}
	if err == nil {
		err = start(order, &spec.Program, box)
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

// order is what the monitor wants, and where to answer.
type order struct {
	control *api.Conn
	stdio   Stdio
	files   []*os.File
	root    *os.File // a mount; nil: none has come
}

// receive gives io.EOF when the monitor has gone.
func receive(control *api.Conn, spec *Spec) (*order, error) {
	packet, err := control.Recv()
	if err != nil {
		return nil, err
	}
	var o Order
	if packet.Kind != KindSpec {
		return nil, api.Errorf("start the sandbox", "", "the monitor sent %q, want %q", packet.Kind, KindSpec)
	}
	if err := packet.Decode(&o); err != nil {
		return nil, err
	}
	r := &order{control: control, stdio: o.Stdio, files: packet.Files}
	if last := len(r.files) - 1; o.Root && last >= 0 {
		r.files, r.root = r.files[:last], r.files[last]
	}
	return r, wire.Decode(o.What, spec)
}

func fault(control *api.Conn, err error) int {
	e := api.Wrap("start the sandbox", "", err)
	if err := control.Send(KindFault, e); err != nil {
		fmt.Fprintln(os.Stderr, "sbx:", e)
	}
	return e.ExitCode()
}
