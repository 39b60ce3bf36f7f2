package api_test

import (
	"testing"

	"sbx/api"
	"sbx/tests/wiretest"
)

func TestFields(t *testing.T) {
	wiretest.Complete(t, &api.Hello{}, &api.Text{}, &api.Started{}, &api.Done{}, &api.Run{}, &api.Create{}, &api.Exec{})
}

// A message that is sent by value arrives like one that is sent by pointer.
func TestSendByValue(t *testing.T) {
	a, b, err := api.Pair("test")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	for _, body := range []any{api.Done{Code: 3, Text: "x"}, &api.Done{Code: 3, Text: "x"}} {
		if err := a.Send(api.KindDone, body); err != nil {
			t.Fatal(err)
		}
		p, err := b.Recv()
		if err != nil {
			t.Fatal(err)
		}
		var done api.Done
		if err := p.Decode(&done); err != nil || done.Code != 3 || done.Text != "x" {
			t.Errorf("%T: got %+v, %v", body, done, err)
		}
	}
}
