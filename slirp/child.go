package slirp

import (
	"github.com/rootless-containers/rootlesskit/v3/pkg/messages"
	"github.com/rootless-containers/rootlesskit/v3/pkg/network"
)

// NewChildDriver is the other half of Driver, for the process inside. It is nil
// where there is nothing to configure from inside: pasta does everything from
// its own side, and the loopback interface is up when the namespace is made.
func NewChildDriver(name string) network.ChildDriver {
	if name != Slirp4netns {
		return nil
	}
	return &slirpChild{}
}

// slirpChild leaves the interface to rootlesskit, which runs ip for it, unless
// the parent has not got as far as to make one.
type slirpChild struct{ device string }

// ConfigureNetworkChild implements network.ChildDriver.
func (c *slirpChild) ConfigureNetworkChild(msg *messages.ParentInitNetworkDriverCompleted, _ string) (string, error) {
	c.device = msg.Dev
	return c.device, nil
}

// ChildDriverInfo implements network.ChildDriver.
func (c *slirpChild) ChildDriverInfo() (*network.ChildDriverInfo, error) {
	return &network.ChildDriverInfo{ConfiguresInterface: c.device == ""}, nil
}
