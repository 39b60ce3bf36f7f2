package sandbox

import (
	"reflect"
	"testing"

	"sbx/api"
	"sbx/userns"
	"sbx/userns/owners"
)

func TestCompleteUserns(t *testing.T) {
	caller := api.Caller{UID: 1000, GID: 100, Name: "alice", Home: "/home/alice"}
	for _, c := range []struct{ image, mode, asked, inImage, want string }{
		{"img", "", "", "70", "70"},
		{"img", "keep-id", "", "70", "1000:100"},
		{"img", "keep-id", "", "", "1000:100"},
		{"img", "keep-id", "root", "root", "root"},
		{"img", "keep-id:uid=7", "", "", "7:100"},
		{"img", "keep-id:gid=7", "", "", "1000:7"},
		{"host", "keep-id", "", "", ""},
		{"host", "keep-id:uid=1000,gid=100", "", "", ""},
	} {
		conf := api.Config{Spec: api.Spec{Image: c.image, Caller: caller, Isolation: api.Isolation{Userns: c.mode}, Process: api.Process{User: c.inImage}}}
		if err := completeUserns(&conf, c.asked); err != nil || conf.Process.User != c.want {
			t.Errorf("%+v: user %q, %v", c, conf.Process.User, err)
		}
	}
	for _, c := range [][2]string{{"host", "keep-id:uid=7"}, {"img", "nomap"}, {"img", "keep-id:uid=-1"}} {
		conf := api.Config{Spec: api.Spec{Image: c[0], Caller: caller, Isolation: api.Isolation{Userns: c[1]}}}
		if err := completeUserns(&conf, ""); err == nil {
			t.Errorf("%q was accepted", c)
		}
	}
}

// Files are shown with other owners only where there are other owners.
func TestOtherOwners(t *testing.T) {
	many := []userns.Extent{{Inside: 0, Outside: 0, Length: 1}, {Inside: 1, Outside: 1, Length: 65536}}
	one := many[:1]
	conf := api.Config{Layers: []string{"TOP", "BASE"}, Spec: api.Spec{Image: "img", Caller: api.Caller{UID: 1000, GID: 0}, Isolation: api.Isolation{Userns: api.KeepID}}}
	s := &Supervisor{uids: many, gids: many}
	uids, gids := s.otherOwners(&conf)
	if want := (owners.Map{{From: 0, To: 1, Length: 1000}, {From: 1000, To: 0, Length: 1}}); !reflect.DeepEqual(uids, want) || gids != nil {
		t.Errorf("%v %v", uids, gids)
	}
	if name := s.shownName(&conf); name != "TOP-1000-0" {
		t.Errorf("mount point %q", name)
	}
	if s = (&Supervisor{uids: one, gids: one}); s.shownName(&conf) != "" {
		t.Error("a user with one id is shown others")
	}
	s = &Supervisor{uids: many, gids: many}
	for _, mode := range []string{"", "keep-id:uid=0,gid=0"} {
		other := conf
		other.Isolation.Userns = mode
		if s.shownName(&other) != "" {
			t.Errorf("%q needs no other owners", mode)
		}
	}
}

func TestAccount(t *testing.T) {
	conf := api.Config{Spec: api.Spec{
		Image: "img", Caller: api.Caller{UID: 1000, GID: 4294967290, Name: "alice", Home: "/home/alice"}, Isolation: api.Isolation{Userns: api.KeepID},
		Process: api.Process{WorkDir: "/w"},
	}}
	if a := account(&conf); a.Name != "alice" || a.UID != 1000 || a.Home != "/w" {
		t.Errorf("%+v", a)
	}
	conf.Mounts = []api.Mount{{Type: "bind", Target: "/home/"}}
	if a := account(&conf); a.Home != "/home/alice" {
		t.Errorf("with the home mounted: %+v", a)
	}
	conf.Isolation.Userns = "keep-id:uid=7"
	if a := account(&conf); a.Name != "" || a.UID != 7 || a.Home != "/w" {
		t.Errorf("with another id: %+v", a)
	}
	conf.Isolation.Userns = ""
	if a := account(&conf); a != nil {
		t.Errorf("without keep-id: %+v", a)
	}
}
