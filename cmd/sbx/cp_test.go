package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// The words of cp as they travel, and the file that goes with them.
func TestCopyRequests(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		with := "nothing"
		if len(p.Files) == 1 {
			var err error
			if with, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", p.Files[0].Fd())); err != nil {
				return err
			}
		}
		return conn.Send(api.KindDone, api.Done{Text: string(p.Body) + " " + with})
	})
	dir, err := filepath.EvalSymlinks(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.MkdirAll(dir+"/d/sub", 0o755), os.WriteFile(dir+"/file", nil, 0o600), os.WriteFile(dir+"/c:olon", nil, 0o600),
		os.Symlink("file", dir+"/link"), os.Symlink("d/new", dir+"/dangling"), os.Symlink("d/sub", dir+"/way"),
		os.Symlink("../up", dir+"/d/sub/out"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	from := func(path, name string) string { return fmt.Sprintf(`{"from":{"path":%q,"name":%q}`, path, name) }
	box := `"to":{"sandbox":"box","path":"/x"}`
	out := `{"from":{"sandbox":"box","path":"/x"},`
	for words, want := range map[string]string{
		"cp file box:/x":                 from("file", "file") + "," + box + `,"quiet":true} ` + dir + "/file",
		"container cp -a file box:/x":    from("file", "file") + "," + box + `,"archive":true,"quiet":true} ` + dir + "/file",
		"cp link box:/x":                 from("link", "link") + "," + box + `,"quiet":true} ` + dir + "/link",
		"cp -L link box:/x":              from("link", "link") + "," + box + `,"follow":true,"quiet":true} ` + dir + "/file",
		"cp way/ box:/x":                 from("way/", "way") + "," + box + `,"quiet":true} ` + dir + "/d/sub",
		"cp d/. box:/x":                  from("d/.", ".") + "," + box + `,"quiet":true} ` + dir + "/d",
		"cp . box:/x":                    from(".", ".") + "," + box + `,"quiet":true} ` + dir,
		"cp d/sub/.. box:/x":             from("d/sub/..", "d") + "," + box + `,"quiet":true} ` + dir + "/d",
		"cp ./c:olon box:/x":             from("./c:olon", "c:olon") + "," + box + `,"quiet":true} ` + dir + "/c:olon",
		"cp box:/x d":                    out + `"to":{"path":"d"},"quiet":true} ` + dir + "/d",
		"cp box:/x d/":                   out + `"to":{"path":"d/","slash":true},"quiet":true} ` + dir + "/d",
		"cp box:/x file":                 out + `"to":{"path":"file","name":"file"},"quiet":true} ` + dir,
		"cp box:/x d/new":                out + `"to":{"path":"d/new","name":"new"},"quiet":true} ` + dir + "/d",
		"cp box:/x d/new/":               out + `"to":{"path":"d/new/","name":"new","slash":true},"quiet":true} ` + dir + "/d",
		"cp box:/x dangling":             out + `"to":{"path":"dangling","name":"new"},"quiet":true} ` + dir + "/d",
		"cp box:/x way":                  out + `"to":{"path":"way"},"quiet":true} ` + dir + "/d/sub",
		"cp box:/x way/out":              out + `"to":{"path":"way/out","name":"up"},"quiet":true} ` + dir + "/d", // as the kernel goes
		"cp box:/x other:y":              out + `"to":{"sandbox":"other","path":"y"},"quiet":true} nothing`,
		"cp box:/x " + dir + "/absolute": out + `"to":{"path":"` + dir + `/absolute","name":"absolute"},"quiet":true} ` + dir,
	} {
		if got := h.sbx(strings.Fields(words)...); got.out != want+"\n" || got.code != 0 {
			t.Errorf("%s:\n got %+v\nwant %s", words, got, want)
		}
	}
	for words, want := range map[string]string{
		"cp file other":       "must be in a sandbox",
		"cp - -":              "must be in a sandbox",
		"cp box: other":       "a path behind",
		"cp file box:":        "a path behind",
		"cp nothing box:/x":   "no such file",
		"cp file/ box:/x":     "not a directory",
		"cp box:/x no/where":  "must exist",
		"cp box:/x file/x":    "not a directory",
		"cp box:/x":           "takes 2 arguments",
		"cp --overwrite a b:": "unknown flag",
	} {
		if got := h.sbx(strings.Fields(words)...); got.code == 0 || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v, want %q", words, got, want)
		}
	}
	if err := os.Symlink("circle", dir+"/circle"); err != nil {
		t.Fatal(err)
	}
	if got := h.sbx("cp", "box:/x", "circle"); !strings.Contains(got.err, unix.ELOOP.Error()) {
		t.Errorf("a circle: %+v", got)
	}
}
