package main

import (
	"path"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

// processFlags say which program runs and what it starts with.
type processFlags struct {
	entrypoint       string
	env, envFiles    []string
	workDir, user    string
	tty, stdin, init bool
	ulimits, groups  []string
}

func (f *processFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.entrypoint, "entrypoint", "", "program to run instead of the image's entrypoint")
	fs.BoolVar(&f.init, "init", false, "run a pid 1 that reaps and forwards signals")
	fs.Var((*list)(&f.groups), "group-add", "`GROUP` to be in as well; keep-groups: in yours of this machine instead")
	fs.Var((*list)(&f.ulimits), "ulimit", "`NAME=SOFT[:HARD]` resource limit, see setrlimit(2); -1 for none")
	addProgramFlags(fs, &f.env, &f.envFiles, &f.workDir, &f.user)
	fs.BoolVarP(&f.tty, "tty", "t", false, "give the program a terminal")
	fs.BoolVarP(&f.stdin, "interactive", "i", false, "keep standard input open")
}

// addProgramFlags are those that run and exec share.
func addProgramFlags(fs *pflag.FlagSet, env, envFiles *[]string, workDir, user *string) {
	fs.VarP((*list)(env), "env", "e", "set a variable; `KEY` alone takes it from here")
	fs.Var((*list)(envFiles), "env-file", "`FILE` of KEY=value lines")
	fs.StringVarP(workDir, "workdir", "w", "", "working `DIR` in the sandbox")
	fs.StringVarP(user, "user", "u", "", "`NAME|UID[:GROUP|GID]` to run as")
}

// process makes the api's Process for the words after the image.
func (f *processFlags) process(cmd []string) (api.Process, error) {
	p := api.Process{Cmd: cmd, User: f.user, Groups: f.groups, TTY: f.tty, Stdin: f.stdin, Init: f.init}
	if f.entrypoint != "" {
		p.Entrypoint = []string{f.entrypoint}
	}
	for _, group := range f.groups {
		switch {
		case group == "":
			return p, invalid("--group-add", group, "expected a name or a number")
		case group == api.KeepGroups && len(f.groups) > 1:
			return p, &flagError{"--group-add keep-groups cannot be had with other groups: the kernel takes one list, or leaves yours"}
		}
	}
	var err error
	if p.Env, err = environment(f.envFiles, f.env); err != nil {
		return p, err
	}
	if p.WorkDir, err = workDir(f.workDir); err != nil {
		return p, err
	}
	p.Rlimits, err = rlimits(f.ulimits)
	return p, err
}

func workDir(dir string) (string, error) {
	switch {
	case dir == "":
		return "", nil
	case !path.IsAbs(dir):
		return "", invalid("--workdir", dir, "not an absolute path")
	case strings.ContainsRune(dir, 0):
		return "", invalid("--workdir", dir, "it contains a NUL byte")
	}
	return path.Clean(dir), nil
}
