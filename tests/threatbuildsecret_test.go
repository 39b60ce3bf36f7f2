package tests

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// contains looks for words in every file below a directory, those of subordinate ids
// included, and gives the files.
func contains(t testing.TB, words, dir string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "unshare", "--user", "--map-root-user", "--map-auto", "--", "grep", "-rlaF", "--devices=skip", "-e", words, dir)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() > 2) {
		t.Fatalf("grep: %v: %s", err, errs.String())
	}
	return strings.Fields(string(out))
}

// A secret of a build is in its RUN and nowhere else: no layer, configuration, history,
// cache, log, argument or environment of ours, neither while the step runs nor after
// it, whether it succeeds or fails.
func TestThreat22BuildSecrets(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	const file, variable = "sekret-of-a-file-91d", "sekret-of-a-variable-44a"
	secrets := []string{file, variable}
	outside := t.TempDir() // not in what is searched
	if err := os.WriteFile(filepath.Join(outside, "s"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	search := func(when string) {
		t.Helper()
		for _, secret := range secrets {
			for _, dir := range []string{e.Data, e.Instance.Run, e.Home} {
				for _, path := range contains(t, secret, dir) {
					t.Errorf("%s: %s is in %s", when, secret, path)
				}
			}
			for _, p := range e.Processes() {
				environ, _ := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/environ")
				ours := strings.HasPrefix(p.Role(), "sbx")
				if strings.Contains(strings.Join(p.Args, " "), secret) || ours && p.Role() != "sbx" && bytes.Contains(environ, []byte(secret)) {
					t.Errorf("%s: %s is an argument or in the environment of %s", when, secret, p)
				}
			}
		}
	}
	for name, end := range map[string]string{"succeeds": "true", "fails": "false"} {
		gate := e.contextOf("context-"+name, "Dockerfile", "FROM "+image+"\n"+
			"RUN --mount=type=secret,id=s --mount=type=secret,id=v,env=TOKEN --mount=type=secret,id=v,target=/deep/v "+
			"--mount=type=cache,id=gate-"+name+",target=/gate wc -c </run/secrets/s; echo ${#TOKEN}; cp /run/secrets/s /dev/shm/; touch /gate/in; while [ ! -e /gate/go ]; do sleep 0.1; done; "+end+"\n")
		c := e.Command(t.Context(), "build", "--progress", "plain", "-t", "made-"+name, "--secret", "id=s,src="+outside+"/s", "--secret", "id=v,env=VARIABLE", gate)
		c.Env = append(c.Env, "VARIABLE="+variable)
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		gateDockerfile := "FROM " + image + "\nRUN --mount=type=cache,id=gate-" + name + ",target=/gate "
		e.Eventually("the step runs", func() bool { return e.dockerfile(gateDockerfile+"test -e /gate/in\n", "--no-cache").Code == 0 })
		search(name + ", while it runs")
		e.built(gateDockerfile+"touch /gate/go\n", "--no-cache")
		err := c.Wait()
		if (err == nil) != (end == "true") || !strings.Contains(out.String(), strconv.Itoa(len(file))) || !strings.Contains(out.String(), strconv.Itoa(len(variable))) {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
		search(name + ", afterwards")
		for _, secret := range secrets {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%s: the progress shows %s", name, secret)
			}
		}
	}
	saved := filepath.Join(e.Home, "saved")
	e.OK("save", "-q", "--format", "oci-dir", "-o", saved, "made-succeeds")
	blobs := must[imageBlobs](t)(ociDir(saved))
	made := must[builtImage](t)((&imageBase{}).describe(blobs, describing{}))
	for _, place := range []string{"secrets", "/deep", "gate"} {
		for line := range strings.Lines(made.Tree) {
			if strings.Contains(line, place) {
				t.Errorf("the image has the place of a mount: %s", line)
			}
		}
	}
	if history := e.OK("history", "--no-trunc", "made-succeeds"); !strings.Contains(history, "RUN") || strings.Contains(history, file) {
		t.Errorf("history: %s", history)
	}
}

// The place of a secret may be a link of the image's that leads out. CVE-2024-9341.
func TestThreat22BuildSecretPlaces(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	outside := e.outside()
	secret := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(secret, []byte("sekret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, steps := range []string{
		"RUN rm -rf /run; ln -s " + outside + " /run\nRUN --mount=type=secret,id=s cat /run/secrets/s | wc -c",
		"RUN ln -s " + outside + " /l\nRUN --mount=type=secret,id=s,target=/l/s true",
		"RUN ln -s " + outside + "/s /l\nRUN --mount=type=secret,id=s,target=/l true",
		"RUN --mount=type=secret,id=s,target=../../../.." + outside + "/s true",
	} {
		r := e.build(e.contextOf("context-"+strconv.Itoa(n), "Dockerfile", "FROM "+image+"\n"+steps+"\n"), "--secret", "id=s,src="+secret)
		isEmpty(t, outside)
		t.Logf("%d: status %d", n, r.Code)
	}
}

// A secret that is not there or no file is said to be so, before anything is built.
func TestThreat22BuildSecretSources(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	const dockerfile = "RUN --mount=type=secret,id=s cat /run/secrets/s\n"
	for words, src := range map[string]string{"no such file": e.Home + "/nothing", "directory": e.Home} {
		if r := e.dockerfile("FROM "+image+"\n"+dockerfile, "--secret", "id=s,src="+src); r.Code == 0 || !strings.Contains(r.Err, words) {
			t.Errorf("%s: status %d, %s", src, r.Code, r.Err)
		}
	}
}

// A sandbox that was given the whole data directory does not find the secret of a step
// that has it just then; and what a killed supervisor has left of it goes.
func TestThreat22BuildSecretBeside(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	path, secret := e.secretFile()
	step := "RUN --mount=type=secret,id=s --mount=type=cache,target=/c touch /c/have && while ! [ -e /c/go ]; do cat /run/secrets/s >/dev/null; sleep 0.1; done\n"
	building := make(chan Result, 1)
	go func() { building <- e.dockerfile("FROM "+image+"\n"+step, "--secret", "id=s,src="+path) }()
	const have = "find /data -name have -path '*mounts*' | grep -q ."
	look := func(what string) string {
		return e.OK("run", "--rm", "-v", e.Data+":/data", image, "sh", "-c", what)
	}
	e.Eventually("the step has it", func() bool {
		return e.Run("run", "--rm", "-v", e.Data+":/data", image, "sh", "-c", have).Code == 0
	})
	// The sandbox itself is seen in the data directory: what it looks for must not be in its words.
	if found := look("find /data -path '*/proc' -prune -o -type f -print | xargs grep -sl host[-]secret; true"); found != "" {
		t.Errorf("%q is in %s", secret, found)
	}
	left := func() []string {
		found, err := filepath.Glob(e.Instance.Run + "/secrets-*")
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if n := len(left()); n != 1 {
		t.Errorf("%d directories of secrets", n)
	}
	e.fell(e.roles()["supervisor"][0])
	if r := <-building; r.Code == 0 {
		t.Errorf("the build: %+v", r)
	}
	e.OK("ps")
	if n := left(); len(n) > 0 {
		t.Errorf("left: %q", n)
	}
}
