package slirp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rootless-containers/rootlesskit/v3/pkg/api"
	"github.com/rootless-containers/rootlesskit/v3/pkg/messages"
)

// pasta is a network.ParentDriver. The one of rootlesskit leaves its pasta
// behind when the namespace goes; this one knows the pid.
type pasta struct {
	bin string
	run string // sbx's runtime directory
}

// pastaStart bounds how long pasta may take to configure the namespace. It is
// done in ten to thirty milliseconds.
const pastaStart = 10 * time.Second

func (p *pasta) Info(context.Context) (*api.NetworkDriverInfo, error) {
	return &api.NetworkDriverInfo{
		Driver:  Pasta,
		ChildIP: net.ParseIP(Address),
		DNS:     []net.IP{net.ParseIP(DNS)},
		IPv6:    true,
	}, nil
}

func (p *pasta) MTU() int { return MTU }

// ConfigureNetwork implements network.ParentDriver; see start.
func (p *pasta) ConfigureNetwork(childPID int, _, netns string) (*messages.ParentInitNetworkDriverCompleted, func() error, error) {
	if err := p.start(context.Background(), childPID, netns); err != nil {
		return nil, nil, err
	}
	return p.message(), p.stop, nil
}

func (p *pasta) message() *messages.ParentInitNetworkDriverCompleted {
	return &messages.ParentInitNetworkDriverCompleted{
		Dev: Device, MTU: MTU, IP: Address, Netmask: Netmask, Gateway: Gateway, DNS: []string{DNS},
	}
}

// start starts pasta for the namespace at netns, which childPID's user namespace
// owns, and returns when the interface is configured.
func (p *pasta) start(ctx context.Context, childPID int, netns string) error {
	if err := p.stop(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.bin, pastaArgs(p.pidFile(), childPID, netns)...)
	// It stays in the foreground until everything is configured, then forks.
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s: %w: %s", p.bin, err, complaint(out))
	}
	return nil
}

// stop ends the pasta of this runtime directory, a forgotten one included.
func (p *pasta) stop() error { return killByPidFile(p.pidFile(), Pasta) }

// pidFile is not in rootlesskit's state directory: that is gone when pasta has
// outlived rootlesskit.
func (p *pasta) pidFile() string { return filepath.Join(p.run, "pasta.pid") }

func pastaArgs(pidFile string, childPID int, netns string) []string {
	return []string{
		"--quiet",
		"--pid", pidFile,
		"--ns-ifname", Device,
		"--mtu", strconv.Itoa(MTU),
		"--config-net",
		"--address", Address, "--netmask", strconv.Itoa(Netmask), "--gateway", Gateway, "--dns-forward", DNS,
		"--address", Address6, "--gateway", Gateway6, "--dns-forward", DNS6,
		// Nothing inside reaches the loopback interface of the host, by the
		// gateway's address or by a forwarded port, nor the other way round.
		"--no-map-gw", "--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
		"--userns", fmt.Sprintf("/proc/%d/ns/user", childPID),
		"--netns", netns,
	}
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

// running says whether the pasta of this runtime directory is alive.
func (p *pasta) running() bool {
	pid, err := readPid(p.pidFile())
	return err == nil && isHelper(pid, Pasta, p.pidFile())
}
