package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sbx/api"
	"sbx/tests/promised"
)

// The scripts do what they are for, in every shell that is there.
func TestCompletionInShells(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		text := "web\nworker\n"
		switch {
		case strings.Contains(string(p.Body), "images"):
			text = "debian:13\n"
		case strings.Contains(string(p.Body), "networks"):
			text = "lab\n"
		}
		return conn.Send(api.KindDone, api.Done{Text: text})
	})
	bin := filepath.Join(h.dir, "bin")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "sbx")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// What the shell does after the script: it prints what it offers for $LINE. Of zsh
	// only the function runs, with its builtin replaced: it would want a terminal.
	shells := map[string]string{
		"bash": `compopt() { :; }
COMP_LINE=$LINE COMP_POINT=${#LINE} COMPREPLY=()
_sbx; printf '%s\n' "${COMPREPLY[@]}"`,
		"fish": `complete -C "$LINE"`,
		"zsh": `compadd() { [[ $1 == -S ]] && shift 2; shift; print -rl -- "$@" }
_files() { }
words=("${(@s: :)LINE}") CURRENT=${#${(@s: :)LINE}}
_sbx`,
	}
	for shell, ask := range shells {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				promised.OrSkip(t, shell, err)
			}
			script, _ := completionScript(shell)
			if shell == "zsh" {
				script = "compdef() { }\n" + script
			}
			for line, want := range map[string]string{
				"sbx rm w":              "web worker",
				"sbx exec -it wo":       "worker",
				"sbx run deb":           "debian:13",
				"sbx run --network la":  "lab",
				"sbx run --network=la":  "--network=lab",
				"sbx cp we":             "web:",
				bin + "/sbx rm wo":      "worker",
				"sbx network rm nobody": "",
			} {
				if shell == "bash" { // splits at =
					want = strings.TrimPrefix(want, "--network=")
				}
				cmd := exec.CommandContext(t.Context(), shell, "-c", script+ask)
				cmd.Dir = h.dir
				cmd.Env = append(h.env(), "LINE="+line, "PATH="+bin+":"+os.Getenv("PATH"))
				out, err := cmd.Output()
				if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != want {
					t.Errorf("%q: %q (%v), want %q", line, got, err, want)
				}
			}
		})
	}
}
