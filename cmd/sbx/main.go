// Command sbx is the words a user types: it reads them, finds or starts the
// supervisor, passes the request and the standard files on, and ends with the
// exit status that Docker would end with.
//
// The same binary is every small process around a sandbox. Which one it is, it
// knows from the name it was started by; see roles.go.
package main

import (
	"os"
	"path/filepath"
)

func main() {
	// A role owns its process: no flags, no help, no terminal.
	if role, ok := roles[filepath.Base(os.Args[0])]; ok {
		os.Exit(role())
	}
	os.Exit(dispatch(streams{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}
