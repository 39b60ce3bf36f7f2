package tests

import (
	"archive/tar"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Where a mount of RUN comes from is looked up inside: of the cache, the stage or the
// context, whatever links are there. CVE-2024-1753, CVE-2024-9407, CVE-2024-9675,
// CVE-2024-11218.
func TestThreat20BuildMountSources(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	secret, content := e.secretFile()
	host := filepath.Dir(secret)
	deep := strings.Repeat("../", 30) + host[1:]
	shown := func() string {
		return "cat /m/key /m" + secret + " /m/*/key 2>/dev/null; ls -d /m" + e.Home + " 2>/dev/null && echo host; true"
	}
	if r := e.built("FROM " + image + "\nRUN --mount=type=cache,id=control,target=/c echo " + content + " >/c/key\n" +
		"RUN --mount=type=cache,id=control,target=/m " + shown() + "\n"); !strings.Contains(r.Err, content+"\n") {
		t.Fatalf("what is mounted is not seen:\n%s", r.Err)
	}
	for name, steps := range map[string]string{
		"cache, link to /": "RUN --mount=type=cache,id=a,target=/c ln -sfn / /c/l\n" +
			"RUN --mount=type=cache,id=a,source=l,target=/m " + shown(),
		"cache, link to the directory": "RUN --mount=type=cache,id=b,target=/c ln -sfn " + host + " /c/l\n" +
			"RUN --mount=type=cache,id=b,source=l,target=/m " + shown(),
		"cache, link in between": "RUN --mount=type=cache,id=c,target=/c ln -sfn " + filepath.Dir(host) + " /c/l\n" +
			"RUN --mount=type=cache,id=c,source=l/private,target=/m " + shown(),
		"cache, parents":       "RUN --mount=type=cache,id=d,source=" + deep + ",target=/m " + shown(),
		"cache, id of parents": "RUN --mount=type=cache,id=" + deep + ",target=/m " + shown(),
		"cache, id of a path":  "RUN --mount=type=cache,id=" + host + ",target=/m " + shown(),
		"cache, id of dots":    "RUN --mount=type=cache,id=..,target=/m " + shown(),
		"cache from a stage":   "RUN --mount=type=cache,id=e,from=links,source=/l,target=/m " + shown(),
		"stage, link to /":     "RUN --mount=from=links,source=/root,target=/m " + shown(),
		"stage, link":          "RUN --mount=from=links,source=/l,target=/m " + shown(),
		"stage, link between":  "RUN --mount=from=links,source=/up/private,target=/m " + shown(),
		"stage, file":          "RUN --mount=from=links,source=/f,target=/m/key " + shown(),
		"stage, parents":       "RUN --mount=from=links,source=" + deep + ",target=/m " + shown(),
		"stage, proc":          "RUN --mount=from=links,source=/proc/1/root,target=/m " + shown(),
		"context, link":        "RUN --mount=source=l,target=/m " + shown(),
		"context, file":        "RUN --mount=source=f,target=/m/key " + shown(),
		"context, writable":    "RUN --mount=source=l,target=/m,rw " + shown() + "; echo x >/m/new",
		"context, parents":     "RUN --mount=source=" + deep + ",target=/m " + shown(),
	} {
		dir := e.contextOf("context-"+strings.Map(letters, name), "Dockerfile", "FROM "+image+" AS links\n"+
			"RUN rmdir /root; ln -s / /root; ln -s "+host+" /l; ln -s "+filepath.Dir(host)+" /up; ln -s "+secret+" /f\n"+
			"FROM "+image+"\n"+steps+"\n", "l", "-> "+host, "f", "-> "+secret)
		r := e.build(dir)
		if strings.Contains(r.Out+r.Err, content) || strings.Contains(r.Err, " host\n") {
			t.Errorf("%s: the host is seen:\n%s", name, r.Err)
		}
		t.Logf("%s: status %d", name, r.Code)
	}
	if left, err := os.ReadDir(host); err != nil || len(left) != 1 {
		t.Errorf("the host's directory holds %v, %v", left, err)
	}
}

func letters(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return '-'
}

// One build makes the source of the other's mount a link, and a directory again, all
// the time. CVE-2024-23651.
func TestThreat20BuildMountRace(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	secret, content := e.secretFile()
	host := filepath.Dir(secret)
	swapper := e.Start("build", "--progress", "plain", e.contextOf("swapper", "Dockerfile", "FROM "+image+"\n"+
		"RUN --mount=type=cache,id=race,target=/c while [ ! -e /c/stop ]; do mkdir -p /c/d; mv -T /c/d /c/was 2>/dev/null; ln -sfn "+host+
		" /c/d; rm -f /c/d; rm -rf /c/d; mv -T /c/was /c/d 2>/dev/null; done\n"))
	e.Eventually("it swaps", func() bool {
		r := e.dockerfile("FROM "+image+"\nRUN --mount=type=cache,id=race,target=/c ls /c; readlink /c/d; true\n", "--no-cache")
		return strings.Contains(r.Err, host)
	})
	steps := strings.Repeat("RUN --mount=type=cache,id=race,source=d,target=/m cat /m/key; true\n", 5)
	for range 8 {
		if r := e.dockerfile("FROM "+image+"\n"+steps, "--no-cache"); strings.Contains(r.Err+r.Out, content) {
			t.Fatalf("the host's file is read:\n%s", r.Err)
		}
	}
	e.built("FROM "+image+"\nRUN --mount=type=cache,id=race,target=/c touch /c/stop\n", "--no-cache")
	swapper.Wait()
}

// What takes away the places that were made for mounts follows no link, and places
// are made inside. CVE-2024-23652.
func TestThreat20BuildMountTargets(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	outside := e.outside()
	victim := filepath.Join(e.Home, "victims")
	if err := os.MkdirAll(filepath.Join(victim, "dir"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{victim + "/file", e.Home + "/private"} {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for name, steps := range map[string]string{
		"parent swapped, directory": "RUN --mount=type=tmpfs,target=/mnt/dir mv /mnt /was; ln -s " + victim + " /mnt",
		"parent swapped, file":      "RUN --mount=type=bind,source=a,target=/mnt/file mv /mnt /was; ln -s " + victim + " /mnt",
		"hosts swapped":             "RUN mv /etc /was && ln -s " + victim + " /etc",
		"link for a target":         "RUN ln -s " + outside + " /t\nRUN --mount=type=tmpfs,target=/t/new true\nRUN --mount=type=cache,target=/t/c true",
		"link for a secret":         "RUN rm -rf /run; ln -s " + outside + " /run\nRUN --mount=type=secret,id=s true",
		"link for a working dir":    "RUN ln -s " + outside + " /w\nWORKDIR /w/sub\nRUN touch here",
		"link for a copy":           "RUN ln -s " + outside + " /w\nCOPY a /w/sub/\nCOPY a /w/\nADD a /w/x/y",
		"parents for a copy":        "COPY a " + strings.Repeat("../", 30) + outside[1:] + "/x",
		"link for a heredoc":        "RUN ln -s " + outside + "/new /w\nCOPY <<E /w\nx\nE",
	} {
		dir := e.contextOf("context-"+strings.Map(letters, name), "Dockerfile", "FROM "+image+"\n"+steps+"\n", "a", "a\n", "secret", "s")
		r := e.build(dir, "--secret", "id=s,src="+dir+"/secret")
		isEmpty(t, outside)
		if exists(victim+"/file") != nil || exists(victim+"/dir") != nil {
			t.Fatalf("%s: something of the host is deleted", name)
		}
		t.Logf("%s: status %d", name, r.Code)
	}
}

// What RUN asks for that the user has not allowed is refused, for triggers of an
// image as well. CVE-2024-23653.
func TestThreat20BuildEntitlements(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.built("FROM "+image+"\nONBUILD RUN --security=insecure echo did it\nONBUILD RUN --network=host echo did it\n", "-t", "trap")
	for _, text := range []string{"FROM trap\n", "FROM " + image + "\nRUN --security=insecure echo did it\n", "FROM " + image + "\nRUN --network=host echo did it\n",
		"FROM " + image + " AS other\nRUN --network=host echo did it >/x\nFROM " + image + "\nCOPY --from=other /x /\n"} {
		if r := e.dockerfile(text); r.Code == 0 || strings.Contains(r.Err, "\ndid it") || !strings.Contains(r.Err, "--allow") {
			t.Errorf("%q: status %d\n%s", text, r.Code, r.Err)
		}
	}
	r := e.built("FROM "+image+"\nRUN grep CapEff /proc/self/status\n", "--no-cache")
	if strings.Contains(r.Err, "000001ffffffffff") {
		t.Errorf("a plain RUN has every capability:\n%s", r.Err)
	}
}

// Links of a context lead within it, and the files that .dockerignore names do not
// exist, whatever name they are asked by.
func TestThreat21BuildContext(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	secret, content := e.secretFile()
	host := filepath.Dir(secret)
	const ignored = "ignored-content-77"
	deep := strings.Repeat("../", 30)
	for n, step := range []string{
		"COPY f /x", "COPY l /x", "COPY l/ /x", "COPY l/key /x", "COPY l/* /x/", "COPY */key /x/", "COPY root" + secret + " /x", "COPY up/key /x",
		"COPY ../private/key /x", "COPY " + deep + secret[1:] + " /x", "COPY " + secret + " /x", "COPY d/../../private/key /x", "ADD l /x", "ADD f /x",
		"COPY --parents l/key /x/", "COPY --parents ./l/./key /x/", "COPY --parents ../private/./key /x/", "COPY --link l/key /x",
		"RUN --mount=target=/c cat /c/f /c/l/key", "RUN --mount=source=l,target=/c cat /c/key",
		"COPY hidden /x", "COPY ./hidden /x", "COPY d/../hidden /x", "COPY /hidden /x", "COPY //hidden /x", "COPY hid* /x", "COPY [h]idden /x", "COPY tohidden /x", "COPY d/tohidden /x",
		"COPY --parents hidden /x/", "COPY --parents ./hidden /x/", "ADD hidden /x", "COPY . /x", "COPY --exclude=!hidden . /x", "COPY secretdir /x", "COPY secretdir/hidden /x",
		"COPY d/../secretdir/. /x", "RUN --mount=target=/c cat /c/hidden", "RUN --mount=source=hidden,target=/c/h cat /c/h", "RUN --mount=target=/c,rw cat /c/hidden",
	} {
		dir := e.contextOf(fmt.Sprint("context-", n), "Dockerfile", "FROM "+image+"\n"+step+"\nRUN find /x -type f -exec cat {} +\n",
			".dockerignore", "hidden\nsecretdir\n", "hidden", ignored, "secretdir/hidden", ignored, "tohidden", "-> hidden", "d/tohidden", "-> ../hidden",
			"l", "-> "+host, "f", "-> "+secret, "root", "-> /", "up", "-> ../private")
		r := e.build(dir)
		for _, what := range []string{content, ignored} {
			if strings.Contains(r.Out+r.Err, what) {
				t.Errorf("%s: %q is read:\n%s", step, what, r.Err)
			}
		}
	}
}

// A directory of the context becomes a link out of it and a directory again, while it
// is copied.
func TestThreat21BuildContextRace(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	secret, content := e.secretFile()
	dir := e.contextOf("context", "Dockerfile", "FROM "+image+"\nCOPY d /x\nCOPY d/key /y\nCOPY d*/k* /z/\nRUN --mount=source=d,target=/m cat /x/key /y /z/* /m/key\n",
		"d/key", "harmless\n", "other", "-> "+filepath.Dir(secret))
	over := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				if err := unix.Renameat2(unix.AT_FDCWD, dir+"/d", unix.AT_FDCWD, dir+"/other", unix.RENAME_EXCHANGE); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Duration(rand.IntN(20)) * 100 * time.Microsecond)
			}
		}
	})
	good := 0
	for range 25 {
		r := e.build(dir, "--no-cache")
		if strings.Contains(r.Err+r.Out, content) {
			t.Errorf("the host's file is read:\n%s", r.Err)
			break
		}
		if r.Code == 0 {
			good++
		}
	}
	close(over)
	swapper.Wait()
	t.Logf("%d of 25 builds found a directory each time", good)
}

// An archive that is added leads nowhere.
func TestThreat21BuildArchive(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	outside := e.outside()
	deep := strings.Repeat("../", 30)
	for name, list := range map[string][]tar.Header{
		"parent":                   {{Typeflag: tar.TypeReg, Name: deep + outside[1:] + "/new"}},
		"absolute":                 {{Typeflag: tar.TypeReg, Name: outside + "/new"}},
		"link then write":          {{Typeflag: tar.TypeSymlink, Name: "link", Linkname: outside}, {Typeflag: tar.TypeReg, Name: "link/new"}},
		"link replaced":            {{Typeflag: tar.TypeSymlink, Name: "f", Linkname: outside + "/new"}, {Typeflag: tar.TypeReg, Name: "f"}},
		"hard link out":            {{Typeflag: tar.TypeLink, Name: "hard", Linkname: e.Home + "/context-parent/Dockerfile"}},
		"through the image's link": {{Typeflag: tar.TypeReg, Name: "imagelink/new"}},
		"whiteout":                 {{Typeflag: tar.TypeReg, Name: "imagelink/.wh.x"}, {Typeflag: tar.TypeReg, Name: ".wh..wh..opq"}},
		"device":                   {{Typeflag: tar.TypeBlock, Name: "disk", Devmajor: 8, Devminor: 0}},
	} {
		dir := e.contextOf("context-"+strings.Map(letters, name), "t.tar", entries(t, list...), "Dockerfile",
			"FROM "+image+"\nRUN mkdir /to && ln -s "+outside+" /to/imagelink\nADD t.tar /to/\nADD t.tar /to/\nRUN cat /to/hard /to/imagelink/* 2>/dev/null; true\n")
		r := e.build(dir)
		isEmpty(t, outside)
		if strings.Contains(r.Err, "ADD t.tar /to/\nADD") {
			t.Errorf("%s: a file of the host is in the image:\n%s", name, r.Err)
		}
		t.Logf("%s: status %d", name, r.Code)
	}
}
