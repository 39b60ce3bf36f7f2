package image

import (
	"os"
	"testing"

	"sbx/tests/nested"
)

// The tests need a user namespace with subordinate ids.
const inside = "SBX_TEST_IMAGE_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(nested.Subordinate(inside + "=1"))
	}
	if mode := os.Getenv(helperMode); mode != "" {
		os.Exit(helper(mode))
	}
	os.Exit(m.Run())
}
