package main

import (
	"github.com/rootless-containers/rootlesskit/v3/pkg/messages"

	"sbx/slirp"
	"sbx/userns"
)

// settled is the driver of the network, which rootlesskit calls when the id maps are
// written: what has been root then has no capability left.
type settled struct{ *slirp.Driver }

func (s settled) ConfigureNetwork(childPID int, state, netns string) (*messages.ParentInitNetworkDriverCompleted, func() error, error) {
	if err := userns.Settle(); err != nil {
		return nil, nil, err
	}
	return s.Driver.ConfigureNetwork(childPID, state, netns)
}
