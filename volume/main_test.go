package volume

import (
	"os"
	"testing"

	"sbx/tests/nested"
)

// The tests need a user namespace with subordinate ids.
const inside = "SBX_TEST_VOLUME_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(nested.Subordinate(inside + "=1"))
	}
	if dir := os.Getenv(fillEnv); dir != "" {
		os.Exit(fillForever(dir))
	}
	os.Exit(m.Run())
}
