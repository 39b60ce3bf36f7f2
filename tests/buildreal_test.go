package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// debian imports the Debian root file system, with the mirror of packages as a context
// of builds.
func (e *Env) debian() (image string, flags []string) {
	e.t.Helper()
	Need(e.t, "rootfs", "overlay", "aptmirror")
	e.OK("import", os.Getenv("SBX_TEST_ROOTFS"), "debian")
	return "debian", []string{"--build-context", "mirror=" + os.Getenv("SBX_TEST_DEBS")}
}

// aptInstall is an instruction that installs packages from the mirror.
func aptInstall(packages string) string {
	return "RUN --mount=from=mirror,target=/mirror rm -rf /etc/apt/sources.list.d && echo 'deb [trusted=yes] copy:/mirror ./' >/etc/apt/sources.list && " +
		"apt-get update && apt-get install -y --no-install-recommends " + packages + " && rm -rf /var/lib/apt/lists/*\n"
}

// A program in C, whose compiler comes by apt and stays behind.
func TestBuildRealC(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image, flags := e.debian()
	dir := e.contextOf("context", "Dockerfile", "FROM "+image+" AS build\n"+aptInstall("tcc make libc6-dev")+`
WORKDIR /src
COPY Makefile *.c *.h ./
RUN make
RUN make check
FROM `+image+`
COPY --from=build /src/hello /usr/local/bin/
USER nobody
CMD ["hello"]
`, "Makefile", "CC = tcc\nhello: main.o greet.o\n\t$(CC) -o $@ main.o greet.o\ncheck: hello\n\ttest \"$$(./hello)\" = 'hello from C'\n",
		"main.c", "#include \"greet.h\"\nint main(void) { return greet(\"C\"); }\n",
		"greet.c", "#include <stdio.h>\n#include \"greet.h\"\nint greet(const char *who) { return printf(\"hello from %s\\n\", who) < 0; }\n",
		"greet.h", "int greet(const char *who);\n")
	if r := e.build(dir, append(flags, "-t", "c")...); r.Code != 0 {
		t.Fatalf("build: status %d\n%s", r.Code, tail([]byte(r.Err), 6000))
	}
	e.Is("hello from C", "run", "--rm", "--network", "none", "c")
	if r := e.Run("run", "--rm", "--network", "none", "c", "tcc", "-v"); r.Code != 127 {
		t.Errorf("the compiler is in the image: %+v", r)
	}
	// An edit of a source compiles again, and does not install again.
	if err := os.WriteFile(filepath.Join(dir, "greet.h"), []byte("/* edited */ int greet(const char *who);\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := e.build(dir, append(flags, "-t", "c")...)
	if again := strings.Join(ran(t, r.Err), "\n"); r.Code != 0 || strings.Contains(again, "apt-get") || !strings.Contains(again, "RUN make") {
		t.Errorf("after an edit: status %d, done again:\n%s", r.Code, again)
	}
}

// A program in Go with vendored packages, by a compiler that is another context, into
// an image of nothing else.
func TestBuildRealGo(t *testing.T) {
	t.Parallel()
	Need(t, "go")
	e := Sbx(t)
	image := e.Busybox()
	root := strings.TrimSpace(string(must[[]byte](t)(outputOf("go", "env", "GOROOT"))))
	dir := e.contextOf("context", "Dockerfile", "FROM "+image+` AS build
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=vendor
WORKDIR /src
COPY . .
RUN --mount=from=go,target=/usr/local/go --mount=type=cache,target=/root/.cache \
    /usr/local/go/bin/go build -v -o /out/app .
FROM scratch
COPY --from=build /out/app /app
ENTRYPOINT ["/app"]
`, "go.mod", "module example.com/app\n\ngo 1.21\n\nrequire example.com/greet v1.0.0\n",
		"vendor/modules.txt", "# example.com/greet v1.0.0\n## explicit; go 1.21\nexample.com/greet\n",
		"vendor/example.com/greet/greet.go", "package greet\n\nfunc Word() string { return \"hello\" }\n",
		"main.go", "package main\n\nimport \"example.com/greet\"\n\nfunc main() { print(greet.Word(), \" from Go\\n\") }\n")
	build := func() string {
		t.Helper()
		r := e.build(dir, "-t", "go", "--build-context", "go="+root)
		if r.Code != 0 {
			t.Fatalf("build: status %d\n%s", r.Code, tail([]byte(r.Err), 6000))
		}
		return r.Err
	}
	if said := build(); !strings.Contains(said, " runtime\n") {
		t.Errorf("nothing of Go's own is compiled:\n%s", said)
	}
	if r := e.Run("run", "--rm", "--network", "none", "go"); r.Err != "hello from Go\n" || r.Code != 0 {
		t.Errorf("run: %+v", r)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nimport \"example.com/greet\"\n\nfunc main() { print(greet.Word(), \" again\\n\") }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if said := build(); strings.Contains(said, " runtime\n") || !strings.Contains(said, " example.com/app\n") {
		t.Errorf("after an edit what is compiled is not what has changed:\n%s", said)
	}
	if r := e.Run("run", "--rm", "--network", "none", "go"); r.Err != "hello again\n" || r.Code != 0 {
		t.Errorf("run: %+v", r)
	}
}

// A server in JavaScript, from a tarball, as nobody.
func TestBuildRealNode(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image, flags := e.debian()
	dir := e.contextOf("context", "Dockerfile", "FROM "+image+"\n"+aptInstall("nodejs")+`
ADD app.tar.gz /app
WORKDIR /app
RUN node test.js
USER nobody
EXPOSE 8080
HEALTHCHECK CMD node -e 'require("http").get("http://127.0.0.1:8080").on("error", () => process.exit(1))'
CMD ["node", "server.js"]
`, "app/greet.js", "module.exports = () => 'hello from Node\\n'\n",
		"app/test.js", "require('assert').match(require('./greet')(), /Node/)\n",
		"app/server.js", "require('http').createServer((q, a) => a.end(require('./greet')())).listen(8080, () => console.log('listens as', process.getuid()))\n")
	if err := packAway(dir, "app.tar.gz", "app"); err != nil {
		t.Fatal(err)
	}
	if r := e.build(dir, append(flags, "-t", "node")...); r.Code != 0 {
		t.Fatalf("build: status %d\n%s", r.Code, tail([]byte(r.Err), 6000))
	}
	e.OK("run", "-d", "--name", "server", "--network", "none", "node")
	e.Eventually("it listens", func() bool { return strings.Contains(e.OK("logs", "server"), "listens as 65534") })
	e.Is("hello from Node", "exec", "server", "node", "-e", `require("http").get("http://127.0.0.1:8080", a => a.pipe(process.stdout))`)
	e.OK("rm", "-f", "server")
}

// A step that makes a million files.
func TestBuildRealMillion(t *testing.T) {
	t.Parallel()
	Need(t, "aptmirror") // a test of make test-build: it takes a minute or two
	e := Sbx(t)
	e.manyFiles(1000, 1000)
}
