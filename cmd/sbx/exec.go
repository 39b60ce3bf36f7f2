package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

// execFlags are the flags of exec.
type execFlags struct {
	env, envFiles     []string
	workDir, user     string
	keys              string
	tty, stdin        bool
	detach, privilege bool
}

func (o *execFlags) add(f *pflag.FlagSet) {
	addProgramFlags(f, &o.env, &o.envFiles, &o.workDir, &o.user)
	f.BoolVarP(&o.tty, "tty", "t", false, "give the program a terminal")
	f.BoolVarP(&o.stdin, "interactive", "i", false, "pass standard input on")
	f.BoolVarP(&o.detach, "detach", "d", false, "do not wait for the program")
	f.BoolVar(&o.privilege, "privileged", false, "everything that the user namespace can give")
	f.StringVar(&o.keys, "detach-keys", defaultDetachKeys, "`KEYS` that leave the program running")
}

func newExec() command {
	var o execFlags
	return command{
		name: "exec", group: groupInside, args: "SANDBOX COMMAND [ARG...]", min: 2, max: -1,
		program: true, names: wantSandbox, fault: api.ExitFault,
		short: "run another program in a running sandbox",
		examples: `sbx exec -it web sh
sbx exec -u 0 -w /etc web cat passwd`,
		flags: o.add,
		run:   func(s streams, args []string) error { return execute(s, o, args) },
	}
}

func execute(s streams, o execFlags, args []string) error {
	keys, err := parseKeys(o.keys)
	if err != nil {
		return err
	}
	e := api.Exec{Name: args[0], Spec: api.ExecSpec{
		Args: args[1:], User: o.user, TTY: o.tty, Stdin: o.stdin, Detach: o.detach, Privileged: o.privilege,
	}}
	if e.Spec.Env, err = environment(o.envFiles, o.env); err != nil {
		return err
	}
	if e.Spec.WorkDir, err = workDir(o.workDir); err != nil {
		return err
	}
	c := session{s: s}
	if o.detach {
		return c.untilStarted(api.VerbExec, &e)
	}
	c.attachment = attachment{in: o.stdin, out: true, err: true, tty: o.tty, exec: true, direct: !o.tty, proxy: true, keys: keys}
	if err := checkTerminal(s, c.attachment); err != nil {
		return err
	}
	p, err := newPlan(s, c.attachment)
	if err != nil {
		return err
	}
	e.Stdio = p.stdio
	return c.converse(api.VerbExec, p, &e)
}
