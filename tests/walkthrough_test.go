package tests

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sbx/tests/registry"
)

// flaskApp is the example of many introductions to Docker, as they have it; only the
// image is one of ours. Pip's own settings, in the image, name the directory of wheels.
var flaskApp = map[string]string{
	"Dockerfile": `# Use an official Python runtime as a parent image
FROM python:2.7-slim

# Set the working directory to /app
WORKDIR /app

# Copy the current directory contents into the container at /app
ADD . /app

# Install any needed packages specified in requirements.txt
RUN pip install --trusted-host pypi.python.org -r requirements.txt

# Make port 80 available to the world outside this container
EXPOSE 80

# Define environment variable
ENV NAME World

# Run app.py when the container launches
CMD ["python", "app.py"]
`,
	"requirements.txt": "Flask\n",
	"app.py": `from flask import Flask
import os
import socket

app = Flask(__name__)

@app.route('/')
def hello():
    html = "<h3>Hello {name}!</h3>" \
           "<b>Hostname:</b> {hostname}<br/>"
    return html.format(name=os.getenv("NAME", "world"), hostname=socket.gethostname())

if __name__ == "__main__":
    app.run(host='0.0.0.0', port=80)
`,
}

// walk is somebody who goes through the introduction.
type walk struct {
	*Env
	dir  string // of the example
	port string
}

// sbx runs a line as it stands there, in the directory of the example.
func (w *walk) sbx(line string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	c := w.Command(ctx, strings.Fields(line)...)
	c.Dir = w.dir
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		w.t.Fatalf("sbx %s: %v\n%s%s", line, err, out, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// curl gets the page.
func (w *walk) curl() string {
	w.t.Helper()
	var page string
	w.Eventually("an answer at port "+w.port, func() bool {
		r, err := http.Get("http://localhost:" + w.port + "/")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		page = string(text)
		return err == nil
	})
	return page
}

// newWalk puts the example, with its wheels, into a directory, and an image with
// python and pip into the store under the name that the example has for it.
func newWalk(t *testing.T) *walk {
	t.Helper()
	Need(t, "python", "overlay")
	w := &walk{Env: Sbx(t), dir: t.TempDir()}
	w.port = fmt.Sprint(freePorts(t, 1))
	for name, text := range flaskApp {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(w.dir, "wheels"), os.DirFS(os.Getenv("SBX_TEST_WHEELS"))); err != nil {
		t.Fatal(err)
	}
	w.OK("import", "-c", "ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/app/wheels PIP_NO_CACHE_DIR=1", "-c", `CMD ["python"]`, os.Getenv("SBX_TEST_PYTHON"), "python:2.7-slim")
	return w
}

// TestWalkthrough is an introduction to Docker, line by line, with sbx instead of
// docker.
func TestWalkthrough(t *testing.T) {
	t.Parallel()
	w := newWalk(t)
	id := w.sbx("build -t helloworld .")
	if out := w.sbx("image ls helloworld"); !strings.Contains(out, "helloworld") || !strings.Contains(out, strings.TrimPrefix(id, "sha256:")[:12]) {
		t.Errorf("image ls shows %q, the build printed %q", out, id)
	}
	w.Is(`["python","app.py"] /app {"80/tcp":{}}`, "image", "inspect", "-f", "{{json .Config.Cmd}} {{.Config.WorkingDir}} {{json .Config.ExposedPorts}}", "helloworld")

	foreground := w.Start("run", "-p", w.port+":80", "helloworld")
	page := w.curl()
	box := w.sbx("ps -lq")
	if want := "<h3>Hello World!</h3><b>Hostname:</b> " + box + "<br/>"; page != want {
		t.Errorf("curl prints %q, want %q", page, want)
	}
	if out := w.sbx("ps"); !strings.Contains(out, `"python app.py"`) || !strings.Contains(out, "0.0.0.0:"+w.port+"->80/tcp") {
		t.Errorf("ps shows %q", out)
	}

	w.publish(box)
	w.namespaces(box)

	foreground.Signal(syscall.SIGINT)
	if r := foreground.Wait(); r.Code != 0 && r.Code != 130 {
		t.Errorf("after ^C: %+v", r)
	}
	// What was committed works as what it was made of.
	w.OK("rm", "-f", box)
	w.sbx("run -d --name again -p " + w.port + ":80 helloworld:v2")
	if page := w.curl(); !strings.HasPrefix(page, "<h3>Hello World!</h3>") {
		t.Errorf("the committed image answers %q", page)
	}
	w.sbx("rm -f again")

	w.volume()
}

// publish changes a running sandbox from within, commits it, and pushes what it was made
// of and what it has become to a registry that wants a login.
func (w *walk) publish(box string) {
	w.t.Helper()
	shell := w.Terminal("exec", "-it", box, "/bin/sh")
	shell.Type("touch test.txt; echo made\r")
	shell.Expect("made\r\n")
	shell.Type("exit\r")
	if code := shell.Wait(); code != 0 {
		w.t.Errorf("the shell ended with %d", code)
	}
	w.sbx("commit " + box + " helloworld:v2")
	w.Is("/app/test.txt", "run", "--rm", "helloworld:v2", "sh", "-c", "ls /app/test.txt")
	w.Fails(2, "", "run", "--rm", "helloworld", "sh", "-c", "ls /app/test.txt 2>&-")

	r := real(w.t, registry.Options{Auth: true})
	w.plain(r.Addr)
	if got := w.RunIn(registry.Password, "login", "-u", registry.User, "--password-stdin", r.Addr); got.Code != 0 || !strings.Contains(got.Out, "Login Succeeded") {
		w.t.Fatalf("login: %+v", got)
	}
	for _, tag := range []string{"latest", "v2"} {
		name := r.Addr + "/geektime/helloworld:" + tag
		w.sbx("tag helloworld:" + tag + " " + name)
		w.sbx("push -q " + name)
		there := Sbx(w.t)
		there.plain(r.Addr)
		if got := there.RunIn(registry.Password, "login", "-u", registry.User, "--password-stdin", r.Addr); got.Code != 0 {
			w.t.Fatalf("login: %+v", got)
		}
		there.Is(w.OK("image", "inspect", "-f", "{{.Id}}", name), "pull", "-q", name)
	}
}

// namespaces looks at those of the program, as they are on the host, and gives another
// sandbox the same network.
func (w *walk) namespaces(box string) {
	w.t.Helper()
	pid := w.OK("inspect", "--format", "{{ .State.Pid }}", box)
	link, err := os.Readlink("/proc/" + pid + "/ns/net")
	if err != nil {
		w.t.Fatal(err)
	}
	if own, err := os.Readlink("/proc/self/ns/net"); err != nil || own == link {
		w.t.Errorf("the program is in the host's network namespace: %s, %v", link, err)
	}
	w.OK("run", "-d", "--name", "neighbour", "--net", "container:"+box, "helloworld", "sleep", "1000")
	other := w.OK("inspect", "--format", "{{ .State.Pid }}", "neighbour")
	if got, err := os.Readlink("/proc/" + other + "/ns/net"); err != nil || got != link {
		w.t.Errorf("--net container: is in %s, not %s: %v", got, link, err)
	}
	w.Is("<h3>Hello World!</h3>", "exec", "neighbour", "python", "-c",
		"import urllib.request as r; print(r.urlopen('http://localhost:80').read().decode().split('<b>')[0])")
	w.OK("rm", "-f", "neighbour")
}

// volume puts a file into a volume: it is on the host, and not in what is committed,
// where the volume's place is an empty directory.
func (w *walk) volume() {
	w.t.Helper()
	box := w.sbx("run -d -v /test helloworld")
	name := w.OK("inspect", "-f", "{{(index .Mounts 0).Name}}", box)
	if list := w.sbx("volume ls"); !strings.Contains(list, name) {
		w.t.Errorf("volume ls shows %q", list)
	}
	w.sbx("exec " + box + " touch /test/text.txt")
	files := filepath.Join(w.OK("volume", "inspect", "-f", "{{.Mountpoint}}", name), "*")
	if list, err := filepath.Glob(files); err != nil || len(list) != 1 || filepath.Base(list[0]) != "text.txt" {
		w.t.Errorf("on the host the volume has %v, %v", list, err)
	}
	w.sbx("commit " + box + " helloworld:v3")
	w.Is("/test:", "run", "--rm", "helloworld:v3", "ls", "-R", "/test")
	w.OK("rm", "-f", "-v", box)
}

// TestWalkthroughLimits: what the introduction says about limits.
func TestWalkthroughLimits(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable("memory", "cpu", "cpuset")
	e.OK("run", "-d", "--name", "limited", "-m", "256m", "--cpus", "0.5", "--cpuset-cpus", "0", e.Busybox(), "sleep", "1000")
	group := e.groupOf("limited")
	for file, want := range map[string]string{"memory.max": "268435456", "cpu.max": "50000 100000", "cpuset.cpus": "0"} {
		got, err := os.ReadFile(filepath.Join(group, file))
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %q, %v", file, got, err)
		}
	}
	e.Is("0", "exec", "limited", "sh", "-c", "awk '/Cpus_allowed_list/ { print $2 }' /proc/self/status")
	e.OK("rm", "-f", "limited")
}
