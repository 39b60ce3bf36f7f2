package monitor

import (
	"testing"

	"sbx/tests/wiretest"
)

func TestFields(t *testing.T) { wiretest.Complete(t, &Start{}, &Attach{}, &Exec{}, &ExecEnded{}) }
