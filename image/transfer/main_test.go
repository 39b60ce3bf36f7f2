package transfer

import (
	"os"
	"testing"

	"sbx/tests/nested"
)

// The tests need a user namespace with subordinate ids.
const inside = "SBX_TEST_TRANSFER_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(nested.Subordinate(inside + "=1"))
	}
	os.Exit(m.Run())
}
