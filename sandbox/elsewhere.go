package sandbox

import (
	"os"

	"sbx/api"
)

// ElsewhereEnv is the variable with the usual place of the data, whose file system
// cannot hold them; unset, they are there.
const ElsewhereEnv = "SBX_ELSEWHERE"

// adviseElsewhere says, once, where things are kept, to who brings something to keep.
func (c *conversation) adviseElsewhere() error {
	usual := os.Getenv(ElsewhereEnv)
	if usual == "" {
		return nil
	}
	switch c.packet.Kind {
	case api.VerbRun, api.VerbCreate, api.VerbImport, api.VerbPull, api.VerbLoad, api.VerbBuild, api.VerbVolumeCreate:
	default:
		return nil
	}
	data := c.s.Dirs.Data
	return c.s.tellOnce(c.conn, elsewhereTold, "the file system of "+usual+" cannot hold images, so that they, sandboxes and volumes are in "+data+
		", on this machine only: for another place set SBX_DATA to a directory on a local disk")
}
