package dirs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("for root the places are the system's")
	}
	runtime := t.TempDir()
	if err := os.Chmod(runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env       map[string]string
		data, run string
	}{
		"explicit":     {map[string]string{"SBX_DATA": "/d", "SBX_RUN": "/r/"}, "/d", "/r"},
		"xdg":          {map[string]string{"XDG_DATA_HOME": "/x", "XDG_RUNTIME_DIR": runtime}, "/x/sbx", runtime + "/sbx"},
		"home":         {map[string]string{"HOME": "/h"}, "/h/.local/share/sbx", "/tmp/sbx-"},
		"shared xdg":   {map[string]string{"HOME": "/h", "XDG_RUNTIME_DIR": open}, "/h/.local/share/sbx", "/tmp/sbx-"},
		"relative xdg": {map[string]string{"HOME": "/h", "XDG_DATA_HOME": "x"}, "/h/.local/share/sbx", "/tmp/sbx-"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, k := range []string{"SBX_DATA", "SBX_RUN", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "HOME"} {
				t.Setenv(k, c.env[k])
			}
			d, err := Find()
			if err != nil || d.Data != c.data || !strings.HasPrefix(d.Run, c.run) {
				t.Errorf("Find() = %+v, %v", d, err)
			}
		})
	}
	t.Setenv("HOME", "")
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("SBX_DATA", "")
	if d, err := Find(); err == nil {
		t.Errorf("without HOME: %+v", d)
	}
}

func TestMakeRefusesSymlinkAndClosesDirectory(t *testing.T) {
	base := t.TempDir()
	d := Dirs{Data: filepath.Join(base, "a/b/data"), Run: filepath.Join(base, "run")}
	if err := os.Mkdir(d.Run, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{d.Data, d.Run} {
		if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", dir, st.Mode(), err)
		}
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(d.Run, link); err != nil {
		t.Fatal(err)
	}
	if err := (Dirs{Data: d.Data, Run: link}).Make(); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a symbolic link was accepted: %v", err)
	}
}

func TestSettledPlaceIsRemembered(t *testing.T) {
	for _, k := range []string{"SBX_DATA", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"} {
		t.Setenv(k, "")
	}
	t.Setenv("HOME", "/h")
	run := filepath.Join(t.TempDir(), "run")
	t.Setenv("SBX_RUN", run)
	usual, named, err := Usual()
	if err != nil || named || usual != "/h/.local/share/sbx" {
		t.Fatalf("%q, %t, %v", usual, named, err)
	}
	data := func() string {
		d, err := Find()
		if err != nil {
			t.Fatal(err)
		}
		return d.Data
	}
	d := Dirs{Data: usual, Run: run}
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	if data() != usual || d.Settled(usual) {
		t.Error("a place was found before it was looked for")
	}
	for _, place := range []string{usual, "/var/tmp/x"} {
		if err := d.Settle(usual, place); err != nil {
			t.Fatal(err)
		}
		if data() != place || !d.Settled(usual) {
			t.Errorf("data in %s, want %s", data(), place)
		}
	}
	t.Setenv("HOME", "/other")
	if got := data(); got != "/other/.local/share/sbx" {
		t.Errorf("another home has its data in %s", got)
	}
	t.Setenv("HOME", "/h")
	t.Setenv("SBX_DATA", "/named")
	if data() != "/named" {
		t.Error("a named place was not used")
	}
	t.Setenv("SBX_DATA", "")
	// Somebody else could have made the links.
	if err := os.Chmod(run, 0o777); err != nil {
		t.Fatal(err)
	}
	if data() != usual {
		t.Error("a directory that others may write is believed")
	}
	if err := os.Chmod(run, 0o700); err != nil {
		t.Fatal(err)
	}
	link := run + "-link"
	if err := os.Symlink(run, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SBX_RUN", link)
	if data() != usual {
		t.Error("a symbolic link is believed")
	}
}

func TestInhabited(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"sandboxes", "volumes", "storage/overlay-images"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if Inhabited(dir) || Inhabited(filepath.Join(dir, "none")) {
		t.Error("empty directories are in use")
	}
	for _, path := range []string{"sandboxes/x", "volumes/x", "storage/overlay-images/images.json"} {
		path = filepath.Join(dir, path)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if !Inhabited(dir) {
			t.Errorf("%s is not seen", path)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
