// Sbxd is the part of sbx that stays in the background: rootlesskit's parent and
// child, which make the namespaces, the supervisor, which runs in them, and what
// forwards published ports. The command line starts it; it is not meant to be
// called by hand.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"sbx/api"
	"sbx/doctor"
	"sbx/sandbox/keeper"
	"sbx/userns"
)

// Environment of rootlesskit's child. The keeper drops everything with this
// prefix.
const (
	pipeEnv       = "_SBX_PIPE"           // its presence makes a process the child
	stateEnv      = "_SBX_STATE"          // rootlesskit's state directory
	activationEnv = "_SBX_ACTIVATION"     // never used: no socket activation
	runHelperEnv  = "_SBX_ACTIVATION_RUN" // the same
)

func main() { os.Exit(play(os.Args)) }

// play chooses the role. Others start this binary under names of their own, so names
// come first; then what rootlesskit has put into the environment; then the words.
func play(args []string) int {
	if filepath.Base(args[0]) == "unshare" {
		return status(userns.Unshare(args))
	}
	if played, err := userns.Helper(args); played {
		return status(err)
	}
	if os.Getenv(pipeEnv) != "" {
		return startup(inNamespaces())
	}
	switch {
	case len(args) == 2 && args[1] == "parent":
		return startup(parent())
	case len(args) == 2 && args[1] == "supervisor":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		defer stop()
		return status(supervise(ctx))
	case len(args) == 2 && args[1] == "ports":
		return status(publish())
	case len(args) == 2 && args[1] == "confined":
		return confine()
	case len(args) > 1 && args[1] == "doctor":
		return examine(args[2:])
	case len(args) > 1 && args[1] == doctor.Role:
		return try(args[2:])
	}
	fmt.Fprintln(os.Stderr, "sbxd is started by sbx; run: sbx help")
	return api.ExitFault
}

// status reports to the log.
func status(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "sbxd[%d] %s: %v\n", os.Getpid(), filepath.Base(os.Args[0]), err)
	return api.ExitFault
}

// startup reports to the process that waits for the supervisor too. It takes the
// first line: the innermost cause, or that the supervisor is ready.
func startup(err error) int {
	if err != nil {
		if err := keeper.Refuse(err); err != nil {
			status(err)
		}
	}
	return status(err)
}
