package transfer

import (
	"testing"

	"sbx/tests/nested"
)

// The tests need a user namespace with subordinate ids.
func TestMain(m *testing.M) { nested.Main(m, "SBX_TEST_TRANSFER_INSIDE") }
