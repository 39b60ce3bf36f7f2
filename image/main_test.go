package image

import (
	"os"
	"slices"
	"strings"
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

func must(feature string) bool {
	return slices.Contains(strings.Split(os.Getenv("SBX_MUST"), ","), feature)
}
