// Package wiretest checks that the types of a package list all their fields.
package wiretest

import (
	"reflect"
	"strconv"
	"testing"

	"sbx/internal/wire"
)

// Complete gives every exported field of every message, at any depth, a value of
// its own, and wants to see all of them after encoding and decoding. Each message
// is a pointer to an empty one.
func Complete(t *testing.T, messages ...wire.Message) {
	t.Helper()
	for _, want := range messages {
		n := 0
		fill(t, reflect.ValueOf(want).Elem(), &n)
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface().(wire.Message)
		if err := wire.Decode(wire.Append(nil, want), got); err != nil {
			t.Errorf("%T: %v", want, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%T: got %+v, want %+v", want, got, want)
		}
	}
}

func fill(t *testing.T, v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), n)
		fill(t, v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"k" + strconv.Itoa(*n): "v"}).Convert(v.Type()))
	case reflect.String:
		v.SetString("s" + strconv.Itoa(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		t.Fatalf("fill does not know %s", v.Type())
	}
}
