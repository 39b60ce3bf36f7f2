package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// echoRequests answers with the request. The PATH in it is shown as $PATH.
func echoRequests(conn *api.Conn, p *api.Packet) error {
	p.CloseFiles()
	body := strings.ReplaceAll(string(p.Body), os.Getenv("PATH"), "$PATH")
	return conn.Send(api.KindDone, api.Done{Text: p.Kind + " " + body})
}

// TestImageRequests: the words of each command about images as they travel.
func TestImageRequests(t *testing.T) {
	h := newHome(t)
	h.fake(echoRequests)
	const reach = `"reach":{"path":"$PATH"}`
	for words, want := range map[string]string{
		"pull a b":         `pull {"names":["a","b"],"policy":"always",` + reach + `}`,
		"image pull -aq a": `pull {"names":["a"],"all_tags":true,"policy":"always","quiet":true,` + reach + `}`,
		"pull --platform linux/s390x --policy newer --disable-content-trust a": `pull {"names":["a"],"platform":"linux/s390x","policy":"newer",` + reach + `}`,
		"pull --tls-verify=false --creds me:a:b a":                             `pull {"names":["a"],"policy":"always","reach":{"tls_verify":false,"user":"me","password":"a:b","path":"$PATH"}}`,
		"pull --authfile x --cert-dir . --signature-policy /etc/passwd a":      `pull {"names":["a"],"policy":"always","reach":{"auth_file":"$DIR/x","cert_dir":"$DIR","policy":"/etc/passwd","path":"$PATH"}}`,
		"push a":                        `push {"name":"a",` + reach + `}`,
		"push -a -q --digestfile d a b": `push {"name":"a","to":"b","all_tags":true,"digest_file":"$DIR/d","quiet":true,` + reach + `}`,
		"push --compression-format zstd --compression-level 20 -f oci a": `push {"name":"a","compression":"zstd","level":20,"format":"oci",` + reach + `}`,
		"pull oci:d:x dir:. docker-archive:/a":                           `pull {"names":["oci:$DIR/d:x","dir:$DIR","docker-archive:/a"],"policy":"always",` + reach + `}`,
		"push a oci:d:x":                                                 `push {"name":"a","to":"oci:$DIR/d:x",` + reach + `}`,
		"login --get-login r:5000":                                       `login {"registry":"r:5000","user":"","password":"","get_login":true,` + reach + `}`,
		"logout":                                                         `logout {` + reach + `}`,
		"logout --authfile x r":                                          `logout {"registry":"r","reach":{"auth_file":"$DIR/x","path":"$PATH"}}`,
		"search -f stars=3 --limit 5 x":                                  `search {"term":"x","limit":5,"filters":["stars=3"],` + reach + `}`,
		"images":                                                         `images {}`,
		"image ls -aq --digests --no-trunc a:1":                          `images {"name":"a:1","all":true,"digests":true,"no_trunc":true,"quiet":true}`,
		"images -f dangling=true --format json":                          `images {"filters":["dangling=true"],"format":"json"}`,
		"rmi -f a b":                                                     `rmi {"names":["a","b"],"force":true}`,
		"image rm a":                                                     `rmi {"names":["a"]}`,
		"rmi --all":                                                      `rmi {"names":[],"all":true}`,
		"tag a b:1":                                                      `tag {"source":"a","target":"b:1"}`,
		"image inspect -f {{.Id}} a b":                                   `image inspect {"names":["a","b"],"format":"{{.Id}}"}`,
		"history -q --no-trunc a":                                        `history {"name":"a","human":true,"no_trunc":true,"quiet":true}`,
		"image history -H=false a":                                       `history {"name":"a","human":false}`,
		"save --format oci-dir -o d a b":                                 `save {"names":["a","b"],"format":"oci-dir","dir":"$DIR/d"}`,
		"load -q --platform linux/arm64 -i .":                            `load {"source":".","dir":"$DIR","platform":"linux/arm64","quiet":true}`,
		"image prune -af --filter until=1h":                              `image prune {"all":true,"filters":["until=1h"]}`,
		"system df -v":                                                   `system df {"verbose":true}`,
		"system info":                                                    `info {"client":"0.1.0-dev"}`,
		"system reset -f":                                                `system reset `,
	} {
		h.sbx(strings.Fields(words)...).want(t, result{out: strings.ReplaceAll(want, "$DIR", h.dir) + "\n"})
	}
}

// TestReach: what of the environment travels. A run takes the same along, and
// nothing where it pulls nothing.
func TestReach(t *testing.T) {
	h := newHome(t)
	fetched := make(chan api.Fetch, 1)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		var r api.Run
		if err := p.Decode(&r); err != nil {
			return err
		}
		fetched <- r.Fetch
		return conn.Send(api.KindExited, api.Done{})
	})
	for _, test := range []struct{ env, args, want string }{
		{"", "img", `{"reach":{"path":"$PATH"}}`},
		{"HTTP_PROXY=http://p:1 https_proxy=http://q:2 HTTPS_PROXY= NO_PROXY=a,b no_proxy=c", "img",
			`{"reach":{"http_proxy":"http://p:1","https_proxy":"http://q:2","no_proxy":"a,b","path":"$PATH"}}`},
		{"REGISTRY_AUTH_FILE=auth DOCKER_CONFIG=/d CONTAINERS_REGISTRIES_CONF=c/r.conf SBX_SHARED=/s::t", "img",
			`{"reach":{"auth_file":"$DIR/auth","docker_config":"/d","shared":["/s","$DIR/t"],"registries":"$DIR/c/r.conf","path":"$PATH"}}`},
		{"REGISTRY_AUTH_FILE=auth", "--authfile /mine --tls-verify --creds a:b -q --platform linux/arm64 img",
			`{"platform":"linux/arm64","quiet":true,"reach":{"auth_file":"/mine","tls_verify":true,"user":"a","password":"b","path":"$PATH"}}`},
		{"HTTP_PROXY=http://p:1", "--pull never img", `{}`},
		{"HTTP_PROXY=http://p:1", "host", `{}`},
	} {
		cmd := h.command(append([]string{"run"}, strings.Fields(test.args)...)...)
		cmd.Env = append(cmd.Env, strings.Fields(test.env)...)
		finish(t, cmd).want(t, result{})
		got := strings.ReplaceAll(strings.ReplaceAll(asJSON(t, <-fetched), os.Getenv("PATH"), "$PATH"), h.dir, "$DIR")
		if got != test.want {
			t.Errorf("%s run %s:\n got %s\nwant %s", test.env, test.args, got, test.want)
		}
	}
}

// TestSave: the supervisor writes to standard output or to a file that appears
// when it is whole; what it says goes elsewhere.
func TestSave(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		if len(p.Files) != 1 {
			return fmt.Errorf("%d files", len(p.Files))
		}
		p.Files[0].WriteString("archive of " + p.Kind)
		if strings.Contains(string(p.Body), "bad") {
			return fmt.Errorf("no such image")
		}
		return conn.Send(api.KindDone, api.Done{Text: string(p.Body)})
	})
	for _, verb := range []string{"save", "export"} {
		body := map[string]string{"save": `{"names":["a"],"format":"docker-archive"}`, "export": `{"name":"a"}`}[verb]
		h.sbx(verb, "a").want(t, result{out: "archive of " + verb, err: body + "\n"})
		old := filepath.Join(h.dir, "old")
		if err := os.WriteFile(old, []byte("old and longer than what replaces it"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("old", filepath.Join(h.dir, "link")); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"new", "link"} {
			h.sbx(verb, "-o", path, "a").want(t, result{out: body + "\n"})
			if data, err := os.ReadFile(filepath.Join(h.dir, path)); string(data) != "archive of "+verb || err != nil {
				t.Errorf("%s: %q, %v", path, data, err)
			}
		}
		if st, err := os.Stat(filepath.Join(h.dir, "new")); err != nil || st.Mode() != 0o600 {
			t.Errorf("new: %v, %v", st.Mode(), err)
		}
		h.sbx(verb, "-o", "old", "bad").want(t, result{err: "sbx: serve: no such image\n", code: 1})
		if data, err := os.ReadFile(old); string(data) != "archive of "+verb || err != nil {
			t.Errorf("a failed %s has changed the file: %q, %v", verb, data, err)
		}
		h.sbx(verb, "-o", "/dev/null", "a").want(t, result{out: body + "\n"})
		h.onlyFiles("data", "link", "new", "old", "run")
		for _, name := range []string{"link", "new", "old"} {
			os.Remove(filepath.Join(h.dir, name))
		}
	}
}

// onlyFiles checks that nothing else is left in the directory.
func (h home) onlyFiles(want ...string) {
	h.t.Helper()
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.Contains(" "+strings.Join(want, " ")+" ", " "+e.Name()+" ") {
			h.t.Errorf("%s is left behind", e.Name())
		}
	}
}

// TestSaveInterrupted: a signal leaves no half file.
func TestSaveInterrupted(t *testing.T) {
	h := newHome(t)
	begun, over := make(chan bool), make(chan bool)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		p.Files[0].WriteString("half")
		begun <- true
		<-over
		return nil
	})
	cmd := h.command("save", "-o", "out", "a")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // its error is the status that is checked
	close(over)
	if ws := cmd.ProcessState.Sys().(interface{ Signal() unix.Signal }); ws.Signal() != unix.SIGTERM {
		t.Errorf("ended with %v", cmd.ProcessState)
	}
	h.onlyFiles("run", "data")
}

// TestLoad: the supervisor reads the very file, from a path or standard input.
func TestLoad(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		data, err := io.ReadAll(p.Files[0])
		if err != nil {
			return err
		}
		return conn.Send(api.KindDone, api.Done{Text: fmt.Sprintf("%s %q", p.Body, data)})
	})
	if err := os.WriteFile(filepath.Join(h.dir, "a.tar"), []byte("archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.sbx("load", "-i", "a.tar").want(t, result{out: `{"source":"a.tar"} "archive"` + "\n"})
	cmd := h.command("image", "load")
	cmd.Stdin = strings.NewReader("piped")
	finish(t, cmd).want(t, result{out: `{"source":"standard input"} "piped"` + "\n"})
}

// TestConfirm: what is not undone is asked about, and only y is yes.
func TestConfirm(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		switch p.Kind {
		case api.VerbList:
			const want = `{"all":true,"no_trunc":true,"quiet":true,"filters":["status=created","status=exited"`
			if body := string(p.Body); body != want+`,"label=x"]}` && body != want+"]}" {
				return fmt.Errorf("asked for %s", p.Body)
			}
			return conn.Send(api.KindDone, api.Done{Text: "id1\nid2\n"})
		}
		return echoRequests(conn, p)
	})
	const sure = "\nAre you sure you want to continue? [y/N] "
	boxes := "Deleted Containers:\n" + `rm {"names":["id1","id2"]}` + "\n"
	for _, test := range []struct{ args, answer, warning, done string }{
		{"image prune", "y\n", "This will remove all dangling images.", "image prune {}\n"},
		{"image prune -a", "YES\n", "This will remove all images without at least one sandbox associated to them.", `image prune {"all":true}` + "\n"},
		{"image prune", "n\n", "This will remove all dangling images.", ""},
		{"image prune", "", "This will remove all dangling images.", ""},
		{"image prune -f", "", "", "image prune {}\n"},
		{"container prune --filter label=x", "y", "This will remove all stopped sandboxes.", boxes},
		{"container prune --filter label=x", "\n", "This will remove all stopped sandboxes.", ""},
		{"system prune -af --filter label=x", "", "", boxes + `network prune {"filters":["label=x"]}` + "\n" + `image prune {"all":true,"filters":["label=x"]}` + "\n"},
		{"system prune -f --volumes --filter label=x", "", "", boxes + `network prune {"filters":["label=x"]}` + "\n" +
			`volume prune {"filters":["label=x"],"part":true}` + "\n" + `image prune {"filters":["label=x"]}` + "\n"},
		{"system prune --volumes --filter label=x", "\n", "This will remove:\n  - all stopped sandboxes\n  - all networks not used by at least one sandbox\n" +
			"  - all anonymous local volumes not used by at least one sandbox\n  - all dangling images\n", ""},
		{"volume prune", "\n", "This will remove anonymous local volumes not used by at least one sandbox.", ""},
		{"volume prune -a", "n\n", "This will remove all local volumes not used by at least one sandbox.", ""},
		{"system prune --filter label=x", "no\n", "This will remove:\n  - all stopped sandboxes\n  - all networks not used by at least one sandbox\n  - all dangling images\n", ""},
		{"system prune -f", "", "", boxes + "network prune {}\nimage prune {}\nbuilder prune {}\n"},
		{"system prune -af", "", "", boxes + "network prune {}\nimage prune {\"all\":true}\nbuilder prune {\"all\":true}\n"},
		{"system prune -a", "no\n", "This will remove:\n  - all stopped sandboxes\n  - all networks not used by at least one sandbox\n" +
			"  - all images without at least one sandbox associated to them\n  - all build cache\n", ""},
		{"system reset", "y\n", "This will remove from " + h.data + ":\n  - all sandboxes, running or not\n  - all networks\n  - all volumes\n  - all images\n  - all build cache\n", "system reset \n"},
		{"system reset", "x\n", "This will remove from " + h.data + ":\n  - all sandboxes, running or not\n  - all networks\n  - all volumes\n  - all images\n  - all build cache\n", ""},
	} {
		cmd := h.command(strings.Fields(test.args)...)
		cmd.Stdin = strings.NewReader(test.answer)
		want := result{out: test.done}
		if test.warning != "" {
			want.out = "WARNING! " + test.warning + sure + test.done
		}
		finish(t, cmd).want(t, want)
	}
}
