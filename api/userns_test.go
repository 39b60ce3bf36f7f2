package api

import "testing"

func TestParseKeepID(t *testing.T) {
	for mode, want := range map[string][2]int{
		"keep-id": {-1, -1}, "keep-id:uid=0": {0, -1}, "keep-id:gid=7": {-1, 7}, "keep-id:uid=200,gid=210": {200, 210},
	} {
		uid, gid, ok, err := ParseKeepID(mode)
		if err != nil || !ok || uid != want[0] || gid != want[1] {
			t.Errorf("%q: %d %d %v %v", mode, uid, gid, ok, err)
		}
	}
	if _, _, ok, err := ParseKeepID(""); ok || err != nil {
		t.Errorf("none: %v %v", ok, err)
	}
	for _, bad := range []string{"host", "keep-id:", "keep-id:uid", "keep-id:uid=", "keep-id:uid=-1", "keep-id:uid=4294967295", "keep-id:size=3", "keep-id:uid=x", "keep-idx"} {
		if uid, gid, ok, err := ParseKeepID(bad); err == nil || ok {
			t.Errorf("%q: %d %d", bad, uid, gid)
		}
	}
}
