package pid1

import (
	"testing"

	"sbx/tests/wiretest"
)

func TestFields(t *testing.T) { wiretest.Complete(t, &Spec{}, &Order{}) }

func TestNamespacesText(t *testing.T) {
	for _, want := range []Namespaces{{}, {New: 0x7c020000}, {1, 2, true, true, true, true}, {Joined: 3, Devices: true}, {Joined: 4, Sysfs: true}} {
		got, err := parseNamespaces(want.String())
		if err != nil || got != want {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
	for _, text := range []string{"", "1", "x,1", "1,-1"} {
		if _, err := parseNamespaces(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
