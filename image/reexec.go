package image

import "go.podman.io/storage/pkg/reexec"

// ReexecInit must be the first call of a main that links this package: the
// storage library unpacks a layer in /proc/self/exe started under another name.
// When it returns true, that work is done and the process must end.
func ReexecInit() bool { return reexec.Init() }
