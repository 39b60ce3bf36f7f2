package build

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sbx/api"
)

// Words must not run into each other.
func TestKeysTellWordsApart(t *testing.T) {
	seen := map[key][]string{}
	for _, words := range [][]string{{"ab"}, {"a", "b"}, {"a", "b", ""}, {"", "ab"}, {"1:a1:b"}, {"a1:b"}, {}, {""}} {
		k := newKey(words...)
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q have one key", words, other)
		}
		seen[k] = words
	}
}

// keysOf are the keys of the RUNs of a Dockerfile's last stage.
func keysOf(t *testing.T, text string, r *api.Build) []key {
	t.Helper()
	g := mustPlan(t, text, r)
	j := &job{r: r}
	above := key("base")
	var keys []key
	for _, s := range g.goal.plan.steps {
		k, err := j.runKey(context.Background(), string(above), s)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
		above = k
	}
	return keys
}

// What a RUN can see is in its key, and nothing else.
func TestRunKeys(t *testing.T) {
	const text = "FROM a\nENV E=1\nRUN one\nRUN two\n"
	want := keysOf(t, text, &api.Build{})
	for name, c := range map[string]struct {
		text string
		r    api.Build
		same int // how many of the keys
	}{
		"the same":                    {text, api.Build{}, 2},
		"a comment":                   {"# x\nFROM a\nENV E=1\nRUN one\n# y\nRUN two\n", api.Build{}, 2},
		"a label":                     {"FROM a\nLABEL l=1\nENV E=1\nRUN one\nRUN two\n", api.Build{}, 2},
		"a command":                   {"FROM a\nENV E=1\nRUN one\nCMD x\nRUN two\n", api.Build{}, 2},
		"another first":               {"FROM a\nENV E=1\nRUN other\nRUN two\n", api.Build{}, 0},
		"another second":              {"FROM a\nENV E=1\nRUN one\nRUN other\n", api.Build{}, 1},
		"a variable":                  {"FROM a\nENV E=2\nRUN one\nRUN two\n", api.Build{}, 0},
		"a later variable":            {"FROM a\nENV E=1\nRUN one\nENV F=1\nRUN two\n", api.Build{}, 1},
		"an argument":                 {"FROM a\nENV E=1\nRUN one\nARG A=1\nRUN two\n", api.Build{}, 1},
		"a user":                      {"FROM a\nENV E=1\nRUN one\nUSER 1\nRUN two\n", api.Build{}, 1},
		"a shell":                     {"FROM a\nENV E=1\nRUN one\nSHELL [\"/x\"]\nRUN two\n", api.Build{}, 1},
		"a network":                   {"FROM a\nENV E=1\nRUN one\nRUN --network=none two\n", api.Build{}, 1},
		"a mount":                     {"FROM a\nENV E=1\nRUN one\nRUN --mount=type=tmpfs,target=/t two\n", api.Build{}, 1},
		"the build's network":         {text, api.Build{Network: "none"}, 0},
		"a host":                      {text, api.Build{AddHosts: []string{"h:1.2.3.4"}}, 0},
		"a proxy":                     {text, api.Build{Args: map[string]string{"HTTP_PROXY": "p"}}, 2},
		"an argument nobody asks for": {text, api.Build{Args: map[string]string{"X": "p"}}, 2},
	} {
		got := keysOf(t, c.text, &c.r)
		same := 0
		for same < len(want) && got[same] == want[same] {
			same++
		}
		if same != c.same {
			t.Errorf("%s: %d keys are the same, want %d", name, same, c.same)
		}
	}
}

func TestCacheEntries(t *testing.T) {
	c := &cache{dir: t.TempDir()}
	k := newKey("x")
	if c.find(k) != nil {
		t.Fatal("found in an empty cache")
	}
	want := entry{Layer: "l", Parent: "p", Key: k, Created: time.Unix(5, 0).UTC(), Title: "RUN x"}
	if err := c.put(k, &want); err != nil {
		t.Fatal(err)
	}
	if got := c.find(k); got == nil || *got != want {
		t.Errorf("found %+v, want %+v", got, want)
	}
	// One that was damaged is not there, and goes when somebody looks at all.
	damaged := newKey("y")
	if err := os.WriteFile(filepath.Join(c.dir, string(damaged)), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := c.all()
	if err != nil || len(all) != 1 || all[0].key != k {
		t.Errorf("all are %+v, %v", all, err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, string(damaged))); !os.IsNotExist(err) {
		t.Errorf("the damaged one is there still: %v", err)
	}
}

func TestMountLocks(t *testing.T) {
	l := &mountLocks{}
	ctx, stop := context.WithCancel(context.Background())
	one, err1 := l.take(ctx, "m", false)
	two, err2 := l.take(ctx, "m", false)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	got := make(chan func())
	go func() {
		give, err := l.take(ctx, "m", true)
		if err != nil {
			t.Error(err)
		}
		got <- give
	}()
	for _, give := range []func(){one, two} {
		select {
		case <-got:
			t.Fatal("alone beside others")
		case <-time.After(20 * time.Millisecond):
		}
		give()
		give() // once more does nothing
	}
	give := <-got
	if own, done := l.own("m"); own == "m" {
		t.Error("a private one is somebody else's")
	} else {
		done()
	}
	stop()
	if _, err := l.take(ctx, "m", false); err == nil {
		t.Error("got what somebody has for himself")
	}
	give()
	if l.busy("m") {
		t.Error("it is in use by nobody")
	}
}
