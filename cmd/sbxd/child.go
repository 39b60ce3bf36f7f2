package main

import (
	"os"

	"github.com/rootless-containers/rootlesskit/v3/pkg/child"
	"github.com/rootless-containers/rootlesskit/v3/pkg/port/builtin"

	"sbx/internal/dirs"
	"sbx/slirp"
	"sbx/userns"
)

// inNamespaces is rootlesskit's other half, in the new user and mount namespaces. It
// runs twice: rootlesskit executes it again to gain the capabilities. It ends
// with the keeper.
func inNamespaces() error {
	d, err := dirs.Find()
	if err != nil {
		return err
	}
	if err := removeHelpers(d); err != nil {
		return err
	}
	err = child.Child(child.Opt{
		PipeFDEnvKey:              pipeEnv,
		StateDirEnvKey:            stateEnv,
		ChildUseActivationEnvKey:  activationEnv,
		RunActivationHelperEnvKey: runHelperEnv,
		TargetCmd:                 []string{keeperLink(d)},
		NetworkDriver:             slirp.NewChildDriver(os.Getenv(driverEnv)),
		PortDriver:                builtin.NewChildDriver(os.Stderr),
		DetachNetNS:               true,
		Propagation:               propagation,
	})
	if err != nil {
		return userns.Diagnose(err)
	}
	return nil
}
