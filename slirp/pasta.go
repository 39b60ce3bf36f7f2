package slirp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

// pasta is the helper. The driver of rootlesskit leaves its pasta behind when the
// namespace goes; this one knows the pid.
type pasta struct {
	bin string
	run string // sbx's runtime directory
	at  place
	mtu int
}

// startTimeout bounds how long a helper may take to configure the namespace.
// Pasta is done in ten to thirty milliseconds.
const startTimeout = 10 * time.Second

// start leaves pasta behind, as a daemon. It stays in the foreground until
// everything is configured.
func (p *pasta) start(ctx context.Context, pid int, netns string) (<-chan struct{}, error) {
	if err := p.stop(); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, p.bin, p.args(pid, netns)...)
	// Killed between its fork and the writing of the pid file it would leave
	// somebody behind whom nobody knows: at the end of ctx it has a second to finish.
	cmd.Cancel = func() error { return nil }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, fmt.Errorf("%s: %w: %s", p.bin, err, complaint(out))
	}
	ended := p.adopt()
	if ended == nil {
		gone := make(chan struct{})
		close(gone)
		ended = gone
	}
	return ended, nil
}

// adopt watches the pasta of this runtime directory.
func (p *pasta) adopt() <-chan struct{} {
	pid, err := readPid(p.pidFile())
	if err != nil {
		return nil
	}
	pidfd, err := sys.Pidfd(pid)
	if err != nil {
		return nil
	}
	if !isHelper(pid, Pasta, p.pidFile()) {
		pidfd.Close()
		return nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer pidfd.Close()
		fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
		for {
			if n, err := unix.Poll(fds, -1); n > 0 || err != nil && err != unix.EINTR {
				return
			}
		}
	}()
	return ended
}

// stop ends the pasta of this runtime directory, a forgotten one included.
func (p *pasta) stop() error { return killByPidFile(p.pidFile(), Pasta) }

// pidFile is not in rootlesskit's state directory: that is gone when pasta has
// outlived rootlesskit.
func (p *pasta) pidFile() string { return filepath.Join(p.run, "pasta.pid") }

func (p *pasta) args(childPID int, netns string) []string {
	at := p.at
	list := []string{
		"--quiet",
		"--pid", p.pidFile(),
		"--ns-ifname", Device,
		"--mtu", strconv.Itoa(p.mtu),
		"--config-net",
		"--address", at.address().String(), "--netmask", strconv.Itoa(at.v4.Bits()), "--gateway", at.gateway().String(),
		"--address", at.address6().String(), "--gateway", at.gateway6().String(),
		// Names are answered elsewhere, and addresses given: nobody has to ask.
		"--no-dhcp", "--no-dhcpv6", "--no-ra",
		// No port is forwarded, in either direction. The loopback interface of the
		// host is behind the gateway's address, by which the switch lets nobody
		// through but sandboxes that may: see Outlet.Loopback.
		"--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
		"--netns", netns,
	}
	if childPID == ownUserns {
		return append(list, "--netns-only")
	}
	return append(list, "--userns", fmt.Sprintf("/proc/%d/ns/user", childPID))
}

// complaint is what a program said, without the remarks of old versions that
// there is no syslog.
func complaint(out []byte) string {
	var lines []string
	for line := range bytes.Lines(out) {
		if text := strings.TrimSpace(string(line)); text != "" && !strings.HasSuffix(text, "to syslog") {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "; ")
}
