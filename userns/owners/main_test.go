package owners

import (
	"os"
	"path/filepath"
	"testing"

	"sbx/tests/nested"
)

// A file system of FUSE can be mounted in a user namespace, and chown needs other ids.
const inside = "SBX_TEST_OWNERS_INSIDE"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == Role {
		os.Exit(Main())
	}
	nested.Main(m, inside)
}
