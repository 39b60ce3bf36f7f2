package volume

import (
	"os"
	"testing"

	"sbx/tests/nested"
)

// The tests need a user namespace with subordinate ids.
const inside = "SBX_TEST_VOLUME_INSIDE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(fillEnv); dir != "" {
		os.Exit(fillForever(dir))
	}
	nested.Main(m, inside)
}
