package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"sbx/api"
	"sbx/internal/remedy"
)

// supervisorUnit is installed by system enable.
const supervisorUnit = "sbx.service"

func newEnable() command {
	return command{
		name: "system enable", group: groupDisk, names: wantNothing,
		short:    "start the sandboxes that have a restart policy when the machine boots",
		examples: "sbx system enable\nloginctl enable-linger   # at boot, and not at your next login",
		run: func(s streams, _ []string) error {
			text, err := unitText(s, api.Generate{For: api.UnitSupervisor})
			if err != nil {
				return err
			}
			path, err := installUnit(supervisorUnit, text)
			if err != nil {
				return err
			}
			for _, words := range [][]string{{"daemon-reload"}, {"enable", "--quiet", supervisorUnit}} {
				if err := systemctl(s, words...); err != nil {
					os.Remove(path) // the error that led here is the one to tell
					return err
				}
			}
			_, err = s.out.WriteString(path + "\n")
			return err
		},
	}
}

func newDisable() command {
	return command{
		name: "system disable", group: groupDisk, names: wantNothing,
		short: "undo system enable", examples: "sbx system disable",
		run: func(s streams, _ []string) error {
			dir, err := unitDir()
			if err != nil {
				return err
			}
			path := filepath.Join(dir, supervisorUnit)
			if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
				return nil // as it is to be
			}
			if err := systemctl(s, "disable", "--quiet", supervisorUnit); err != nil {
				return err
			}
			if err := os.Remove(path); err != nil {
				return api.Wrap("remove", path, errors.Unwrap(err))
			}
			return systemctl(s, "daemon-reload")
		},
	}
}

// unitDir is where the user's own units are, systemd.unit(5).
func unitDir() (string, error) {
	config := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		config = filepath.Join(home, ".config")
	}
	return filepath.Join(config, "systemd/user"), nil
}

// installUnit writes a unit file, and says where.
func installUnit(name, text string) (string, error) {
	dir, err := unitDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", api.Wrap("mkdir", dir, errors.Unwrap(err))
	}
	f, err := createOutFile(path)
	if err != nil {
		return "", err
	}
	defer f.drop()
	if _, err := f.f.WriteString(text); err != nil {
		return "", api.Wrap("write", path, errors.Unwrap(err))
	}
	return path, f.keep()
}

// systemctl has the user's service manager do something.
func systemctl(s streams, words ...string) error {
	argv := append([]string{"systemctl", "--user"}, words...)
	op := strings.Join(argv, " ")
	exe := ""
	for _, dir := range []string{"/usr/bin", "/bin"} {
		if _, err := os.Stat(dir + "/systemctl"); err == nil {
			exe = dir + "/systemctl"
			break
		}
	}
	if exe == "" {
		return &api.Error{Op: op, Msg: "this machine has no systemd", Hint: "start what you need from your login script or crontab: sbx start NAME"}
	}
	p, err := os.StartProcess(exe, argv, &os.ProcAttr{Files: []*os.File{nil, s.err, s.err}})
	if err != nil {
		return api.Wrap(op, "", errors.Unwrap(err))
	}
	state, err := p.Wait()
	if err != nil {
		return api.Wrap(op, "", err)
	}
	if !state.Success() {
		return &api.Error{Op: op, Msg: state.String(), Hint: "your service manager must run: " + remedy.ServiceManager(os.Getenv("USER")).Text}
	}
	return nil
}
