package ports

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The first socket of a family has to be made; then there is a stock of them, of the
// switch and tuned, and what is taken from it is made again.
func TestStock(t *testing.T) {
	netns, err := newNetns()
	if err != nil {
		t.Fatal(err)
	}
	defer netns.Close()
	in, err := enter(netns)
	if err != nil {
		t.Fatal(err)
	}
	defer in.leave()
	want := cookie(t, in.do)
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		stock := in.stock[family]
		if n := len(stock.ready); n > 0 {
			t.Errorf("family %d: %d sockets before anybody wanted one", family, n)
		}
		// More than one filling.
		for n := range 3 * stockSize {
			fd, err := in.socket(family, unix.SOCK_STREAM)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				awaitStock(t, stock.ready)
			}
			if got, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err != nil || got != want {
				t.Errorf("socket of namespace %d, want %d: %v", got, want, err)
			}
			checkTuned(t, fd)
			unix.Close(fd)
		}
	}
}

func awaitStock(t *testing.T, ready chan int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); len(ready) < stockSize; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d sockets in stock, want %d", len(ready), stockSize)
		}
	}
}

// cookie is the number of the namespace that do runs its function in.
func cookie(t *testing.T, do func(func() error) error) (n uint64) {
	t.Helper()
	if err := do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		n, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// Connections have what the listener was told.
func TestAcceptedIsTuned(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		f := Forward{Proto: TCP, Host: to(host, 1).Addr()}
		listeners, err := listen(&f)
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(listeners)
		c, err := net.Dial("tcp", at(host, int(f.Port)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conn, _, err := accept(listeners[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.file.Close()
		if err := conn.control(func(fd int) error { checkTuned(t, fd); return nil }); err != nil {
			t.Error(err)
		}
	}
}

func checkTuned(t *testing.T, fd int) {
	t.Helper()
	for _, o := range []struct {
		name                string
		level, option, want int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepIdle},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepInterval},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepProbes},
	} {
		if got, err := unix.GetsockoptInt(fd, o.level, o.option); err != nil || got != o.want {
			t.Errorf("%s is %d, want %d: %v", o.name, got, o.want, err)
		}
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x: blocks: %v", flags, err)
	}
}
