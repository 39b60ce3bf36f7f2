package delegate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"sbx/api"
)

var (
	// errNoManager says that no service manager of the user was there to be asked.
	errNoManager = errors.New("no service manager")

	errHangs = errors.New("your service manager has not answered in time")
)

// place is a socket at which the user's service manager may be found.
type place struct {
	path string
	bus  bool // a message bus, not the manager itself
}

// places are tried in this order: the manager's own socket, as systemctl does, then
// a bus. A bus that is not a socket here, or that a program has to be started for,
// is none.
func places() []place {
	var list []place
	dirs := []string{os.Getenv("XDG_RUNTIME_DIR"), fmt.Sprintf("/run/user/%d", os.Getuid())}
	for _, dir := range dirs {
		list = append(list, place{filepath.Join(dir, "systemd/private"), false})
	}
	for part := range strings.SplitSeq(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), ";") {
		rest, _, _ := strings.Cut(part, ",")
		if path, ok := strings.CutPrefix(rest, "unix:path="); ok {
			list = append(list, place{path, true})
		}
	}
	for _, dir := range dirs {
		list = append(list, place{filepath.Join(dir, "bus"), true})
	}
	var there []place
	seen := map[string]bool{}
	for _, p := range list {
		if st, err := os.Stat(p.path); err == nil && filepath.IsAbs(p.path) && !seen[p.path] && st.Mode()&os.ModeSocket != 0 {
			there = append(there, p)
			seen[p.path] = true
		}
	}
	return there
}

// ask lets a question be answered by the first manager that can. Where one hangs, it
// hangs at its other sockets, too.
func ask(ctx context.Context, question func(context.Context, *manager) error) error {
	err := errNoManager
	for _, p := range places() {
		e := askAt(ctx, p, question)
		if e == nil || errors.Is(e, errHangs) {
			return e
		}
		if !errors.Is(e, errNoManager) {
			err = e
		}
	}
	return err
}

func askAt(ctx context.Context, p place, question func(context.Context, *manager) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(answerPatience, cancel)
	defer late.Stop()
	m, err := connect(ctx, p)
	if err == nil {
		late.Reset(jobPatience)
		err = errors.Join(question(ctx, m), m.conn.Close())
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w at %s", errHangs, p.path)
	}
	return err
}

// manager is a connection to the user's systemd, org.freedesktop.systemd1(5).
type manager struct {
	conn    *dbus.Conn
	object  dbus.BusObject
	signals chan *dbus.Signal
}

const (
	managerName  = "org.freedesktop.systemd1"
	managerIface = managerName + ".Manager"
	managerPath  = dbus.ObjectPath("/org/freedesktop/systemd1")
)

// connect makes sure that a manager answers. It ends with ctx, and so does the
// connection.
func connect(ctx context.Context, p place) (*manager, error) {
	var d net.Dialer
	socket, err := d.DialContext(ctx, "unix", p.path)
	if err != nil {
		return nil, errNoManager // left over, or another user's
	}
	conn, err := dbus.NewConn(socket, dbus.WithContext(ctx))
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))})
	if err == nil && p.bus {
		err = conn.Hello()
	}
	if err != nil {
		err = &lack{"talk to your service manager at " + p.path + ": " + err.Error(), api.Remedy{}}
		return nil, errors.Join(err, conn.Close())
	}
	m := &manager{conn, conn.Object(managerName, managerPath), make(chan *dbus.Signal, 16)}
	conn.Signal(m.signals)
	if err := m.greet(ctx, p); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return m, nil
}

// greet makes sure that the manager answers, and will tell of jobs.
func (m *manager) greet(ctx context.Context, p place) error {
	if err := m.ping(ctx); err != nil {
		return m.refused("answer", err)
	}
	if !p.bus {
		return nil // the manager itself sends its signals unasked
	}
	err := m.conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface(managerIface), dbus.WithMatchMember("JobRemoved"))
	if err != nil {
		return m.refused("send signals", err)
	}
	return nil
}

// ping asks again and again: systemd's end of its own socket does not look at a
// message that it has read together with the end of the handshake before more
// arrives.
func (m *manager) ping(ctx context.Context) error {
	const again = 20 * time.Millisecond
	tick := time.NewTicker(again)
	defer tick.Stop()
	answers := make(chan *dbus.Call, int(answerPatience/again)+2)
	for {
		m.object.GoWithContext(ctx, "org.freedesktop.DBus.Peer.Ping", 0, answers)
		select {
		case call := <-answers:
			return call.Err
		case <-tick.C:
		}
	}
}

// property is how D-Bus passes (sv).
type property struct {
	Name  string
	Value dbus.Variant
}

// startScope makes a scope with this process in it. Its own limits are those of
// what is above it.
func (m *manager) startScope(ctx context.Context, unit string) error {
	self := []uint32{uint32(os.Getpid())}
	properties := []property{
		{"Description", dbus.MakeVariant("Sandboxes of sbx")},
		{"Slice", dbus.MakeVariant("app.slice")},
		{"PIDs", dbus.MakeVariant(self)},
		{"Delegate", dbus.MakeVariant(true)},
		{"CollectMode", dbus.MakeVariant("inactive-or-failed")},
		// The default, a part of what the machine can have, would be shared by all
		// sandboxes.
		{"TasksMax", dbus.MakeVariant(uint64(math.MaxUint64))},
	}
	type auxiliary struct {
		Name       string
		Properties []property
	}
	var job dbus.ObjectPath
	err := m.object.CallWithContext(ctx, managerIface+".StartTransientUnit", 0, unit, "fail", properties, []auxiliary{}).Store(&job)
	if err != nil {
		return m.refused("make "+unit, err)
	}
	return m.await(ctx, job, unit)
}

// await waits for the end of a job.
func (m *manager) await(ctx context.Context, job dbus.ObjectPath, unit string) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s, open := <-m.signals:
			if !open {
				return m.refused("make "+unit, errors.New("the connection has ended"))
			}
			var id uint32
			var path dbus.ObjectPath
			var name, result string
			if s.Name != managerIface+".JobRemoved" || dbus.Store(s.Body, &id, &path, &name, &result) != nil || path != job {
				continue
			}
			if result != "done" {
				return m.refused("make "+unit, errors.New(result))
			}
			return nil
		}
	}
}

// attach moves this process into a cgroup below that of a unit. Linux lets nobody
// but root move a process out of a login session; the manager may ask the system's.
func (m *manager) attach(ctx context.Context, unit, below string) error {
	call := m.object.CallWithContext(ctx, managerIface+".AttachProcessesToUnit", 0, unit, "/"+below, []uint32{uint32(os.Getpid())})
	if call.Err != nil {
		return m.refused("move to "+unit, call.Err)
	}
	return nil
}

// refused says what the manager did not do. A bus on which there is none is no
// place to ask.
func (m *manager) refused(what string, err error) error {
	var e dbus.Error
	if errors.As(err, &e) && (e.Name == "org.freedesktop.DBus.Error.ServiceUnknown" || e.Name == "org.freedesktop.DBus.Error.NameHasNoOwner") {
		return errNoManager
	}
	return &lack{"your service manager did not " + what + ": " + err.Error(), api.Remedy{Text: "see journalctl --user -b"}}
}
