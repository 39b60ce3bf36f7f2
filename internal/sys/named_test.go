package sys

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `[a]*?\x`)
	if got, err := Named(dir, "", ""); len(got) != 0 || err != nil {
		t.Errorf("no directory: %q, %v", got, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new-1.json", "new-", "new-.json", ".json", "new.json", "[n]"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		prefix, suffix string
		want           []string
	}{
		{"new-", ".json", []string{"new-.json", "new-1.json"}},
		{"new-", "", []string{"new-", "new-.json", "new-1.json"}},
		{"", ".json", []string{".json", "new-.json", "new-1.json", "new.json"}},
		{"[", "", []string{"[n]"}},
		{"new.j", "w.json", nil}, // they would overlap
	} {
		got, err := Named(dir, c.prefix, c.suffix)
		for i := range got {
			got[i] = filepath.Base(got[i])
		}
		if !slices.Equal(got, c.want) || err != nil {
			t.Errorf("%q, %q: %q, %v", c.prefix, c.suffix, got, err)
		}
	}
	if _, err := Named(filepath.Join(dir, "new-"), "", ""); err == nil {
		t.Error("a file has entries")
	}
}
