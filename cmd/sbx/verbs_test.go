package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sbx/api"
)

// TestRequests: the words of each command as they travel.
func TestRequests(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		return conn.Send(api.KindDone, api.Done{Text: p.Kind + " " + string(p.Body)})
	})
	for words, want := range map[string]string{
		"start a b":                  `start {"names":["a","b"],"stdio":{}}`,
		"stop a":                     `stop {"names":["a"]}`,
		"stop -t 3 -s hup a":         `stop {"names":["a"],"signal":"SIGHUP","timeout":3}`,
		"restart --time -1 a":        `restart {"names":["a"],"timeout":-1}`,
		"kill a":                     `kill {"names":["a"],"signal":"SIGKILL"}`,
		"kill -s 15 a b":             `kill {"names":["a","b"],"signal":"15"}`,
		"rm -f a":                    `rm {"names":["a"],"force":true}`,
		"container rm a":             `rm {"names":["a"]}`,
		"rename a b2":                `rename {"name":"a","new":"b2"}`,
		"wait a b":                   `wait {"names":["a","b"]}`,
		"ps":                         `ps {}`,
		"container ls -aq":           `ps {"all":true,"quiet":true}`,
		"ps -l --no-trunc -s":        `ps {"last":1,"no_trunc":true,"size":true}`,
		"ps -n 3 -f name=x -f id=y":  `ps {"last":3,"filters":["name=x","id=y"]}`,
		"ps --format json":           `ps {"format":"json"}`,
		"inspect -f {{.Id}} -s a b":  `inspect {"names":["a","b"],"format":"{{.Id}}","size":true}`,
		"inspect --type container a": `inspect {"names":["a"],"type":"container"}`,
		"container inspect a":        `inspect {"names":["a"],"type":"container"}`,
		"inspect --type image a":     `image inspect {"names":["a"]}`,
		"top a":                      `top {"name":"a"}`,
		"top a -o pid,comm":          `top {"name":"a","args":["-o","pid,comm"]}`,
		"info -f json":               `info {"format":"json","client":"0.1.0-dev"}`,
		"version":                    `version {"client":"0.1.0-dev"}`,
		"exec -d -u 1 --privileged -e A=b -w /x a cmd -x": `exec {"name":"a","spec":{"args":["cmd","-x"],"env":["A=b"],"workdir":"/x","user":"1","detach":true,"privileged":true},"stdio":{}}`,
	} {
		got := h.sbx(strings.Fields(words)...)
		if strings.HasPrefix(words, "exec") {
			want, got.out = "", "" // prints nothing
		} else {
			want += "\n"
		}
		if got.out != want || got.code != 0 {
			t.Errorf("%s:\n got %+v\nwant %s", words, got, want)
		}
	}
}

// TestAnswers: text goes to the right file, and the last packet has the status.
func TestAnswers(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		conn.Send(api.KindOut, api.Text{Text: "a\n"})
		conn.Send(api.KindErr, api.Text{Text: "sbx: no such sandbox: b\n"})
		conn.Send(api.KindOut, api.Text{Text: strings.Repeat("c", 200000) + "\n"}) // larger than a packet
		return conn.Send(api.KindDone, api.Done{Code: 1})
	})
	h.sbx("rm", "a", "b", "c").want(t, result{"a\n" + strings.Repeat("c", 200000) + "\n", "sbx: no such sandbox: b\n", 1})
}

func TestCreate(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		return conn.Send(api.KindDone, api.Done{Text: "0123"})
	})
	h.sbx("create", "--cidfile", "cid", "img").want(t, result{out: "0123\n"})
	if id, err := os.ReadFile(filepath.Join(h.dir, "cid")); string(id) != "0123" || err != nil {
		t.Errorf("cidfile %q, %v", id, err)
	}
}

// TestImport: the supervisor reads the very file, from a path or standard input.
func TestImport(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		buf := make([]byte, 100)
		n, err := p.Files[0].Read(buf)
		if err != nil {
			return err
		}
		return conn.Send(api.KindDone, api.Done{Text: fmt.Sprintf("%s %q", p.Body, buf[:n])})
	})
	if err := os.WriteFile(filepath.Join(h.dir, "r.tar"), []byte("archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.sbx("import", "-c", "CMD sh", "-m", "mine", "r.tar", "deb:1").
		want(t, result{out: `{"name":"deb:1","changes":["CMD sh"],"message":"mine","source":"r.tar"} "archive"` + "\n"})
	cmd := h.command("import", "-")
	cmd.Stdin = strings.NewReader("piped")
	finish(t, cmd).want(t, result{out: `{"source":"-"} "piped"` + "\n"})
}

// TestLogs: the log is read here; with -f until the supervisor says that the
// sandbox has ended, even if that is another one than was asked first.
func TestLogs(t *testing.T) {
	h := newHome(t)
	dir := filepath.Join(h.dir, "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	first := time.Now().UTC().Add(-time.Hour).Format("2006-01-02T15:04:05.000000000Z")
	last := time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z")
	text := first + " stdout F one\n" + last + " stderr F two\n"
	if err := os.WriteFile(filepath.Join(dir, "log"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var running, direct atomic.Bool
	var waits atomic.Int32
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		if p.Kind == api.VerbLogs {
			return conn.Send(api.KindDone, api.Log{Dir: dir, ID: "abc", Running: running.Load(), Direct: direct.Load()})
		}
		if waits.Add(1) == 1 {
			return conn.Close() // a supervisor that dies
		}
		return conn.Send(api.KindDone, api.Done{Text: "0"})
	})
	h.sbx("logs", "box").want(t, result{out: "one\n", err: "two\n"})
	h.sbx("logs", "-n", "1", "box").want(t, result{err: "two\n"})
	h.sbx("logs", "--since", "10m", "-t", "box").want(t, result{err: last + " two\n"})
	h.sbx("logs", "--until", "10m", "box").want(t, result{out: "one\n"})
	running.Store(true)
	h.sbx("logs", "-f", "box").want(t, result{out: "one\n", err: "two\n"})
	if n := waits.Load(); n != 2 {
		t.Errorf("waited %d times, want 2", n)
	}
	direct.Store(true)
	h.sbx("logs", "box").want(t, result{code: 1,
		err: "sbx: logs box: its output goes straight to whoever runs it, so none is kept: run it without --rm, or with -d\n"})
}

func TestComplete(t *testing.T) {
	h := newHome(t)
	h.sbx("__complete", "rm", "").want(t, result{}) // starts no supervisor
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		text := "web\nworker\n"
		if strings.Contains(string(p.Body), "images") {
			text = "debian:13\n"
		}
		if strings.Contains(string(p.Body), "networks") {
			text = "bridge\nlab\n"
		}
		if strings.Contains(string(p.Body), "repositories") {
			text = "debian\n"
		}
		return conn.Send(api.KindDone, api.Done{Text: text})
	})
	for words, want := range map[string]string{
		"re":                        "restart\nrename\n",
		"container l":               "list\nlogs\nls\n",
		"rm w":                      "web\nworker\n",
		"rm -f web wo":              "worker\n",
		"run --n":                   "--name\n--network\n--network-alias\n--no-healthcheck\n",
		"run --network ":            "none\nhost\npasta\nslirp4netns\ncontainer:\nbridge\nlab\n",
		"network inspect l":         "lab\n",
		"network connect ":          "bridge\nlab\n",
		"network connect lab w":     "web\nworker\n",
		"network connect lab web w": "",
		"network create -d ":        "bridge\n",
		"network c":                 "connect\ncreate\n",
		"port w":                    "web\nworker\n",
		"run --rm --name x -it ":    "debian:13\nhost\n",
		"run --rm -v /a:/b host ":   "",
		"run host --":               "",
		"exec -i":                   "",
		"exec -u root w":            "web\nworker\n",
		"exec web ":                 "",
		"completion z":              "zsh\n",
		"help ru":                   "run\n",
		"help system r":             "reset\n",
		"sy":                        "system\n",
		"image in":                  "inspect\n",
		"image inspect ":            "debian:13\n",
		"pull ":                     "debian:13\n",
		"push ":                     "debian:13\ndebian\n",
		"tag debian:13 d":           "",
		"save --format oci":         "oci-archive\noci-dir\n",
		"save --format oci-dir -o ": "",
		"inspect ":                  "web\nworker\ndebian:13\n",
		"pull --policy n":           "newer\nnever\n",
		"login --pass":              "--password\n--password-stdin\n",
		"import ":                   "",
		"builder ":                  "build\nprune\n",
		"buildx build --format o":   "oci\n",
		"build --network ":          "default\nnone\nhost\n",
		"build --progress t":        "tty\n",
		"build ":                    "",
		"nope ":                     "",
	} {
		args := append([]string{"__complete"}, strings.Split(words, " ")...)
		if got := h.sbx(args...); got != (result{out: want}) {
			t.Errorf("%q: %+v, want %q", words, got, want)
		}
	}
	for shell, check := range map[string]string{"bash": "bash -n", "zsh": "", "fish": ""} {
		got := h.sbx("completion", shell)
		if got.code != 0 || !strings.Contains(got.out, "__complete") {
			t.Errorf("completion %s: %+v", shell, got)
		}
		if check == "" {
			continue
		}
		cmd := h.command()
		cmd.Path, cmd.Args = "/bin/bash", []string{"bash", "-c", got.out + `
sbx() { "` + h.command().Path + `" "$@"; }
COMP_LINE="sbx run debian:" COMP_POINT=15
compopt() { :; }
_sbx; printf '%s\n' "${COMPREPLY[@]}"`}
		finish(t, cmd).want(t, result{out: "13\n"})
	}
}
