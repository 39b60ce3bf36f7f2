package fuseoverlay

import (
	"testing"

	"sbx/tests/nested"
)

// An overlay can be mounted in a user namespace only, and chown needs other ids.
func TestMain(m *testing.M) { nested.Main(m, "SBX_TEST_FUSEOVERLAY_INSIDE") }
