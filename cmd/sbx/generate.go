package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

func newGenerateUnit() command {
	g := api.Generate{For: api.UnitSandbox}
	var files bool
	return command{
		name: "generate systemd", group: groupLife, args: "SANDBOX", min: 1, max: 1, names: wantSandbox,
		short: "print a unit of systemd that starts and stops a sandbox",
		examples: `sbx generate systemd web >~/.config/systemd/user/web.service
sbx generate systemd --files web   # the same, and systemd is told
systemctl --user enable --now sbx-web`,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&files, "files", "f", false, "install it as sbx-SANDBOX.service for your service manager")
			f.StringVar(&g.Restart, "restart-policy", "on-failure", "`POLICY` of the unit: Restart= in systemd.service(5)")
			f.IntVarP(&g.Timeout, "stop-timeout", "t", 0, "`SECONDS` until stop kills (default: the sandbox's own)")
		},
		run: func(s streams, args []string) error {
			g.Name = args[0]
			return unit(s, g, "sbx-"+g.Name+".service", files)
		},
	}
}

func newGenerateQuadlet() command {
	var files bool
	return command{
		name: "generate quadlet", group: groupLife, args: "FILE.container", min: 1, max: 1, names: wantFiles,
		short: "print the unit of systemd that a Quadlet file stands for",
		examples: `sbx generate quadlet web.container
sbx generate quadlet --files web.container && systemctl --user start web`,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&files, "files", "f", false, "install it as FILE.service for your service manager")
		},
		run: func(s streams, args []string) error {
			name, is := strings.CutSuffix(filepath.Base(args[0]), ".container")
			if !is || name == "" {
				return &api.Error{Op: "generate quadlet " + args[0], Msg: "its name does not end with .container", Hint: "of the kinds of Quadlet files this is the one that sbx reads"}
			}
			text, err := readShort(args[0])
			if err != nil {
				return err
			}
			return unit(s, api.Generate{For: api.UnitQuadlet, Name: args[0], Text: text}, name+".service", files)
		},
	}
}

// readShort reads a file that somebody has written by hand.
func readShort(path string) (string, error) {
	const most = 1 << 20
	f, err := os.Open(path)
	if err != nil {
		return "", api.Wrap("open", path, errors.Unwrap(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = errors.New("it is longer than a megabyte")
	}
	if err != nil {
		return "", api.Wrap("read", path, err)
	}
	return string(text), nil
}

// unit asks for a unit file, and prints or installs it.
func unit(s streams, g api.Generate, name string, install bool) error {
	text, err := unitText(s, g)
	if err != nil {
		return err
	}
	if !install {
		_, err = s.out.WriteString(text)
		return err
	}
	path, err := installUnit(name, text)
	if err != nil {
		return err
	}
	if err := systemctl(s, "daemon-reload"); err != nil {
		return err
	}
	_, err = s.out.WriteString(path + "\n")
	return err
}

func unitText(s streams, g api.Generate) (string, error) {
	var err error
	if g.Exe, err = os.Executable(); err != nil {
		return "", err
	}
	conn, err := request(api.VerbGenerate, g)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	done, err := answer(s, conn, api.VerbGenerate, func() {})
	return done.Text, err
}
