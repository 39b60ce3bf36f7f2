package fuseoverlay

import (
	"os"
	"testing"

	"sbx/tests/nested"
)

// An overlay can be mounted in a user namespace only, and chown needs other ids.
const inside = "SBX_TEST_FUSEOVERLAY_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(nested.Subordinate(inside + "=1"))
	}
	os.Exit(m.Run())
}
