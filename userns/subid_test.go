package userns

import (
	"reflect"
	"testing"
)

func TestParseRanges(t *testing.T) {
	const text = `root:100000:65536
alice:165536:65536
1001:300000:10
alicea:400000:10
alice:500000:1000

# alice:600000:10
alice:700000
alice:x:10
alice:800000:0
alice:4294967295:2
alice:900000:-1
`
	for _, c := range []struct {
		name string
		uid  int
		want []Range
	}{
		{"alice", 1000, []Range{{165536, 65536}, {500000, 1000}}},
		{"alice", 1001, []Range{{165536, 65536}, {300000, 10}, {500000, 1000}}},
		{"", 1001, []Range{{300000, 10}}},
		{"bob", 1002, nil},
		{"", 0, nil},
	} {
		if got := ParseRanges(text, c.name, c.uid); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q %d: %v, want %v", c.name, c.uid, got, c.want)
		}
	}
}

// A file of an administrator's can hold anything; newuidmap skips what it does
// not understand, and so must this.
func FuzzParseRanges(f *testing.F) {
	f.Add("alice:165536:65536\n")
	f.Add("alice:4294967295:1")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range ParseRanges(text, "alice", 1000) {
			if r.Start < 0 || r.Length <= 0 || r.Start+r.Length > 1<<32 {
				t.Errorf("%q: impossible range %v", text, r)
			}
		}
	})
}

func TestDynamicSource(t *testing.T) {
	for text, want := range map[string]bool{
		"":                               false,
		"passwd: files sss\n":            false,
		"subid: files\n":                 false,
		"subid:\tsss\n":                  true,
		"passwd: files\n subid: files x": true,
		"# subid: sss\n":                 false,
		"subid: files # sss\n":           false,
	} {
		if got := dynamicSource(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
