package sandbox

import (
	"os"

	"sbx/api"
	"sbx/userns"
)

// SingleEnv is the variable that says why there are no subordinate ids, and what to do
// about it; unset, there are some.
const SingleEnv = "SBX_SINGLE_UID"

// lone says that there is nobody in a sandbox but its root: what it does to make files
// another's, or to become another, can only be pretended. In the host's own file system
// and as the user that one is there, nothing is: programs find what they would find
// without a sandbox.
func (s *Supervisor) lone(c *api.Config) bool {
	_, _, kept := keptIDs(c)
	return !kept && c.Image != api.HostImage && s.single()
}

// single says that the supervisor's namespace has no subordinate ids.
func (s *Supervisor) single() bool { return count(s.uids) == 1 || count(s.gids) == 1 }

// count is the number of ids.
func count(extents []userns.Extent) int {
	n := 0
	for _, e := range extents {
		n += e.Length
	}
	return n
}

// adviseLone says, once, that owners of files are not kept, and why.
func (c *conversation) adviseLone(spec *api.Spec) error {
	why := os.Getenv(SingleEnv)
	if why == "" || spec.Image == api.HostImage {
		return nil
	}
	return c.s.tellOnce(c.conn, loneTold, "all files of images and sandboxes belong to you alone, and other users in them are pretended: "+why)
}
