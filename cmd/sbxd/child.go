package main

import (
	"os"

	"github.com/rootless-containers/rootlesskit/v3/pkg/child"
	"golang.org/x/sys/unix"

	"sbx/internal/dirs"
	"sbx/userns"
)

// inNamespaces is rootlesskit's other half, in the new user and mount namespaces.
// It needs no drivers: the way out configures itself, and published ports are a
// process of the supervisor's. It runs twice: rootlesskit executes it again to gain
// the capabilities. It ends with the keeper.
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
		DetachNetNS:               true,
		Propagation:               propagation,
	})
	if err != nil {
		// What failed was a helper, perhaps, which tells no error number: the first
		// thing that it would do here does.
		if mount := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); mount != nil {
			err = os.NewSyscallError("mount --make-rslave", mount)
		}
		return userns.Diagnose(err)
	}
	return nil
}
