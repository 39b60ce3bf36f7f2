package view

import (
	"strings"
	"testing"
	"time"

	"sbx/api"
)

func someVolumes() ([]Volume, []api.Sandbox) {
	made := time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
	volumes := []Volume{
		{Name: "cafe", Mountpoint: "/data/volumes/cafe/_data", Anonymous: true, Created: made},
		{Name: "db", Mountpoint: "/data/volumes/db/_data", Labels: map[string]string{"team": "a", "b": ""}, Created: made},
		{Name: "free", Mountpoint: "/data/volumes/free/_data", Options: map[string]string{"type": "tmpfs"}, Created: made},
		{Name: "lost", Mountpoint: "/data/volumes/lost/_data", Anonymous: true, Created: made},
	}
	box := api.Sandbox{Dir: "/data/sandboxes/77"}
	box.Config.ID, box.Config.Name = "77aa", "web"
	box.Config.VolumesFrom = []string{"other:ro"}
	box.Config.Mounts = []api.Mount{
		{Type: "volume", Source: "db", Target: "/var/db", ReadOnly: true, Options: "noexec"},
		{Type: "volume", Source: "cafe", Target: "/cache", Volume: api.VolumeWish{Anonymous: true}},
		{Type: "bind", Source: "/srv/www", Target: "/www", Options: "rslave"},
		{Type: "tmpfs", Target: "/tmp"},
	}
	return volumes, []api.Sandbox{box}
}

func TestVolumes(t *testing.T) {
	volumes, boxes := someVolumes()
	for _, test := range []struct {
		req  api.VolumeList
		want string
	}{
		{api.VolumeList{}, "DRIVER    VOLUME NAME\nlocal     cafe\nlocal     db\nlocal     free\nlocal     lost\n"},
		{api.VolumeList{Quiet: true, Filters: []string{"dangling=true"}}, "free\nlost\n"},
		{api.VolumeList{Quiet: true, Filters: []string{"dangling=false", "name=d"}}, "db\n"},
		{api.VolumeList{Quiet: true, Filters: []string{"label=team=a", "label=b"}}, "db\n"},
		{api.VolumeList{Quiet: true, Filters: []string{"driver=nfs"}}, ""},
		{api.VolumeList{Format: "{{.Name}} {{.Mountpoint}} {{.Labels}} {{.Label \"team\"}} {{.Size}}", Filters: []string{"name=db"}}, "db /data/volumes/db/_data b=,team=a a N/A\n"},
		{api.VolumeList{Format: "json", Filters: []string{"name=free"}}, `{"Availability":"N/A","Driver":"local","Group":"N/A","Labels":"","Links":"N/A",` +
			`"Mountpoint":"/data/volumes/free/_data","Name":"free","Scope":"local","Size":"N/A","Status":"N/A"}` + "\n"},
	} {
		got, err := Volumes(volumes, boxes, test.req)
		if err != nil || got != test.want {
			t.Errorf("%+v:\n got %q, %v\nwant %q", test.req, got, err, test.want)
		}
	}
	for _, filter := range []string{"dangling=maybe", "until=1h", "name=("} {
		if _, err := Volumes(volumes, boxes, api.VolumeList{Filters: []string{filter}}); err == nil || !strings.Contains(err.Error(), filter) {
			t.Errorf("--filter %s: %v", filter, err)
		}
	}
}

func TestPrunableVolumes(t *testing.T) {
	volumes, boxes := someVolumes()
	for _, test := range []struct {
		req  api.VolumePrune
		want string
	}{
		{api.VolumePrune{}, "lost"},
		{api.VolumePrune{All: true}, "free lost"},
		{api.VolumePrune{Filters: []string{"all=1"}}, "free lost"},
		{api.VolumePrune{All: true, Filters: []string{"label=x"}}, ""},
		{api.VolumePrune{All: true, Filters: []string{"label!=x"}}, "free lost"},
	} {
		list, err := PrunableVolumes(volumes, boxes, test.req)
		var names []string
		for _, v := range list {
			names = append(names, v.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != test.want {
			t.Errorf("%+v: %q, %v, want %q", test.req, got, err, test.want)
		}
	}
}

// TestInspectedVolume: the object is Docker's, down to null for no labels.
func TestInspectedVolume(t *testing.T) {
	volumes, _ := someVolumes()
	got, err := Inspect([]Object{InspectedVolume(volumes[1]), InspectedVolume(volumes[2])}, "json")
	want := `[{"CreatedAt":"2026-03-14T15:09:26Z","Driver":"local","Labels":{"b":"","team":"a"},"Mountpoint":"/data/volumes/db/_data","Name":"db","Options":null,"Scope":"local"},` +
		`{"CreatedAt":"2026-03-14T15:09:26Z","Driver":"local","Labels":null,"Mountpoint":"/data/volumes/free/_data","Name":"free","Options":{"type":"tmpfs"},"Scope":"local"}]` + "\n"
	if err != nil || got != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

// TestMountsOfASandbox: where a sandbox shows its volumes.
func TestMountsOfASandbox(t *testing.T) {
	_, boxes := someVolumes()
	object, err := Inspected(boxes[0], false)
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]string{
		"{{json .Mounts}}": `[{"Type":"volume","Name":"db","Source":"/data/volumes/db/_data","Destination":"/var/db","Driver":"local","Mode":"ro,noexec","RW":false,"Propagation":""},` +
			`{"Type":"volume","Name":"cafe","Source":"/data/volumes/cafe/_data","Destination":"/cache","Driver":"local","Mode":"","RW":true,"Propagation":""},` +
			`{"Type":"bind","Source":"/srv/www","Destination":"/www","Mode":"rslave","RW":true,"Propagation":"rslave"}]`,
		"{{json .HostConfig.Binds}} {{json .HostConfig.VolumesFrom}} {{json .Config.Volumes}}": `["db:/var/db:ro,noexec","/srv/www:/www:rslave"] ["other:ro"] {"/cache":{}}`,
	} {
		if got, err := Inspect([]Object{object}, format); err != nil || strings.TrimSpace(got) != want {
			t.Errorf("%s:\n got %s, %v\nwant %s", format, got, err, want)
		}
	}
	list, err := List(boxes, api.List{All: true, NoTrunc: true, Format: "{{.Mounts}} {{.LocalVolumes}}", Filters: []string{"volume=db"}}, time.Now())
	if err != nil || list != "db,cafe,/srv/www 2\n" {
		t.Errorf("ps: %q, %v", list, err)
	}
	for _, filter := range []string{"volume=/www", "volume=/srv/www", "volume=cafe"} {
		if list, err := List(boxes, api.List{All: true, Quiet: true, Filters: []string{filter}}, time.Now()); err != nil || list == "" {
			t.Errorf("ps --filter %s: %q, %v", filter, list, err)
		}
	}
	if list, err := List(boxes, api.List{All: true, Quiet: true, Filters: []string{"volume=/tmp"}}, time.Now()); err != nil || list != "" {
		t.Errorf("a tmpfs is no volume: %q, %v", list, err)
	}
}
