package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/sandbox/keeper"
	"sbx/userns"
)

// keeperLink is a symbolic link to the small binary, which chooses its role by
// the name it is called by.
func keeperLink(d dirs.Dirs) string { return filepath.Join(d.Run, "bin", keeper.Name) }

// helperDir holds userns.Helpers.
func helperDir(d dirs.Dirs) string { return filepath.Join(d.Run, "bin/single") }

// stateDir is rootlesskit's. Rootlesskit empties it at its start and removes it
// at its end.
func stateDir(d dirs.Dirs) string { return filepath.Join(d.Run, keeper.StateDir) }

// linkKeeper makes the link and returns the path of sbxd itself.
func linkKeeper(d dirs.Dirs) (self string, err error) {
	self, err = os.Executable()
	if err != nil {
		return "", err
	}
	small, err := findSmall(filepath.Dir(self))
	if err != nil {
		return "", err
	}
	link := keeperLink(d)
	if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
		return "", err
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return self, os.Symlink(small, link)
}

// findSmall looks for sbx where it was installed with sbxd in dir: beside it, or
// in bin with sbxd in libexec/sbx.
func findSmall(dir string) (string, error) {
	for _, path := range []string{filepath.Join(dir, "sbx"), filepath.Join(dir, "../../bin/sbx")} {
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", api.Errorf("find sbx", "", "it is neither in %s nor in %s", dir, filepath.Join(dir, "../../bin")).
		WithHint("install sbx and sbxd of one version together")
}

// useHelpers puts the stand-ins for newuidmap and the like before the real ones.
func useHelpers(d dirs.Dirs, self string) error {
	dir := helperDir(d)
	if err := userns.Helpers(dir, self); err != nil {
		return err
	}
	return errors.Join(
		os.Setenv("PATH", dir+":"+os.Getenv("PATH")),
		os.Setenv(getsubidsEnv, filepath.Join(dir, "getsubids")),
	)
}

// removeHelpers takes them out of the environment again: they are for the start.
func removeHelpers(d dirs.Dirs) error {
	return errors.Join(
		os.Setenv("PATH", strings.TrimPrefix(os.Getenv("PATH"), helperDir(d)+":")),
		os.Unsetenv(getsubidsEnv),
		os.Unsetenv(userns.GivenEnv),
	)
}

// getsubidsEnv is read by rootlesskit.
const getsubidsEnv = "GETSUBIDS"
