package slirp

import (
	"context"
	"net"

	kit "github.com/rootless-containers/rootlesskit/v3/pkg/api"
	"github.com/rootless-containers/rootlesskit/v3/pkg/messages"
)

// ownUserns, in the place of a pid: the namespace belongs to the user namespace that
// this process is in.
const ownUserns = 0

// helper is a program that connects the switch. It configures the device by
// itself, nothing has to be done from inside.
type helper interface {
	// start ends the one that runs, and returns when the device of the network
	// namespace at netns, which pid's user namespace owns, is configured. The
	// channel is closed when the program has ended.
	start(ctx context.Context, pid int, netns string) (ended <-chan struct{}, err error)
	// adopt is the channel for one that an earlier process has started; nil if
	// there is none.
	adopt() <-chan struct{}
	// stop ends it, a forgotten one included.
	stop() error
}

func info(name string, at place) *kit.NetworkDriverInfo {
	return &kit.NetworkDriverInfo{Driver: name, ChildIP: net.IP(at.address().AsSlice()), IPv6: true}
}

func message(at place, mtu int) *messages.ParentInitNetworkDriverCompleted {
	return &messages.ParentInitNetworkDriverCompleted{
		Dev: Device, MTU: mtu, IP: at.address().String(), Netmask: at.v4.Bits(), Gateway: at.gateway().String(),
	}
}
