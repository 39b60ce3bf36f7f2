package image

import (
	"os"
	"testing"

	"sbx/tests/nested"
)

// The tests need a user namespace with subordinate ids.
const inside = "SBX_TEST_IMAGE_INSIDE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(helperMode); mode != "" {
		os.Exit(helper(mode))
	}
	nested.Main(m, inside)
}
