package etc

import (
	"os"
	"syscall"
	"testing"

	"sbx/tests/nested"
)

// The tests run as root of a user namespace, so that they can have networks of
// their own.
func TestMain(m *testing.M) {
	const inside = "SBX_TEST_ETC"
	if os.Getenv(inside) == "" {
		os.Exit(nested.Single(inside+"=1", syscall.CLONE_NEWUSER))
	}
	os.Exit(m.Run())
}
