package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/doctor"
	"sbx/userns"
	"sbx/view"
)

// examine is sbx doctor, which executes this program: it must work where there can be
// no supervisor. The exit status is 1 where something is red.
func examine(args []string) int {
	fs := pflag.NewFlagSet("doctor", pflag.ContinueOnError)
	format := fs.String("format", "", "")
	fix := fs.Bool("fix", false, "")
	err := fs.Parse(args)
	if err == nil {
		// As for the supervisor: the helpers are looked up where it does.
		err = os.Setenv("PATH", withSystemDirs(os.Getenv("PATH")))
	}
	if err != nil {
		return complain(err)
	}
	findings := doctor.Examine(context.Background())
	text := ""
	if *fix {
		text = view.DoctorScript(findings, whoever())
	} else if text, err = view.Doctor(findings, *format, colourful(os.Stdout)); err != nil {
		return complain(err)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text += "\n"
	}
	if _, err := os.Stdout.WriteString(text); err != nil {
		return complain(api.Wrap("write", "standard output", errors.Unwrap(err)))
	}
	for _, f := range findings {
		if f.Level == api.Red {
			return 1
		}
	}
	return 0
}

// try is a process of Examine's, which reads its standard error.
func try(args []string) int {
	if err := doctor.Play(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return api.ExitFault
	}
	return 0
}

// complain is how the command line says it.
func complain(err error) int {
	fmt.Fprintln(os.Stderr, "sbx: "+view.Safe(err.Error()))
	return api.ExitFault
}

// whoever the user is, by name and number.
func whoever() string {
	uid := strconv.Itoa(os.Getuid())
	if name := userns.ThisHost().Name; name != "" {
		return name + " (uid " + uid + ")"
	}
	return "uid " + uid
}

// colourful says that f is a terminal that shows colours, https://no-color.org.
func colourful(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
