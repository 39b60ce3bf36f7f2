package dirs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
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
