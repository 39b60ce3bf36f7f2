package keeper

import (
	"encoding/json"
	"errors"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// What whoever starts "sbxd parent" reads from its standard output is one line:
// readyLine, or a failure as JSON. Later lines mean nothing.
const readyLine = "ready\n"

type failure struct {
	Error *api.Error `json:"error"`
}

// Ready tells the process that reads standard output that the socket accepts
// connections.
func Ready() error { return say([]byte(readyLine)) }

// Refuse tells it why there is no supervisor.
func Refuse(reason error) error {
	line, err := json.Marshal(failure{api.Wrap("start the supervisor", "", reason)})
	if err != nil {
		return err
	}
	return say(append(line, '\n'))
}

// say writes with the bare system call: a reader that is gone is then an EPIPE,
// where a write by package os to descriptor 1 ends the process with SIGPIPE.
func say(line []byte) error {
	_, err := unix.Write(unix.Stdout, line)
	if errors.Is(err, unix.EPIPE) {
		return nil
	}
	return err
}
