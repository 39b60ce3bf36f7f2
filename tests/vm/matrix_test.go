package vm

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The short way through sbx, for each kind of user that the machine has, in the cells of
// the matrix that are left: chosen so that each two of their values meet, or with
// SBX_TEST_MATRIX=all every one.
func TestMatrix(t *testing.T) {
	m := up(t)
	table := regexp.MustCompile(`(?s)ids  .*?\n\s*---`)
	for _, user := range []string{"dev", "nolinger", "nosub"} {
		t.Run(user, func(t *testing.T) {
			m.t = t
			r := m.Run(user, "cd /opt/sbx-tests && SBX_BIN=/usr/local/bin SBX_TEST_BUSYBOX=$PWD/busybox.tar SBX_PATIENCE=2m SBX_MUST=userns,overlay,busybox SBX_TEST_MATRIX="+
				os.Getenv("SBX_TEST_MATRIX")+" ./tests.test -test.v -test.timeout 20m -test.run '^TestMatrix$'")
			results := table.FindString(r.Out)
			if r.Code != 0 || strings.Count(results, " ok ") < 2 {
				t.Errorf("status %d\n%s%s", r.Code, r.Out, r.Err)
			}
			t.Log(results)
		})
	}
}
