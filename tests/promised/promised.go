// Package promised knows what the machine that runs the tests may not lack: SBX_MUST
// names it, with commas.
package promised

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// Has says whether a feature was promised.
func Has(feature string) bool {
	return slices.Contains(strings.Split(os.Getenv("SBX_MUST"), ","), feature)
}

// OrSkip ends a test for want of a feature: it is skipped, or fails where the feature
// was promised, so that nothing is left out unnoticed.
func OrSkip(t testing.TB, feature string, why ...any) {
	t.Helper()
	text := feature + ": " + strings.TrimSuffix(fmt.Sprintln(why...), "\n")
	if Has(feature) {
		t.Fatal("SBX_MUST promises " + text)
	}
	t.Skip("needs " + text)
}
