package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// Headings of the overview.
const (
	groupLife     = "Sandboxes"
	groupInside   = "Inside a sandbox"
	groupFacts    = "Facts"
	groupImages   = "Images"
	groupNetworks = "Networks"
	groupVolumes  = "Volumes"
	groupDisk     = "Disk"
	groupHidden   = ""
	groupOther    = "Other"
)

// overview prints what sbx does, by group.
func overview(w io.Writer) error {
	var b strings.Builder
	b.WriteString("Usage: sbx COMMAND [flags] [arguments]\n\nRun images and untrusted programs as an ordinary user.\n")
	group := ""
	for _, construct := range constructors() {
		c := construct()
		if c.group == groupHidden {
			continue
		}
		if c.group != group {
			group = c.group
			b.WriteString("\n" + group + ":\n")
		}
		fmt.Fprintf(&b, "  %-18s  %s\n", c.name, c.short)
	}
	b.WriteString("\nExamples:\n" + indent(`sbx run --rm host ls -l /           the host's own system, read-only, no image needed
sbx run --rm -it --here host bash   the same, with the current directory writable
sbx run --rm -it debian bash        an image, which is pulled if it is not there
sbx build -t app .                  an image from a Dockerfile
sbx import rootfs.tar debian        an image from files
sbx run -d -p 8080:80 nginx         a server, at port 8080 of this machine`))
	b.WriteString("\nFlags:\n      --help      this text; 'sbx COMMAND --help' for one command\n      --version   the version of sbx\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// help prints everything about one command.
func help(w io.Writer, c command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s\n", usageLine(c), c.long())
	if flags := c.flagSet().FlagUsages(); flags != "" {
		b.WriteString("\nFlags:\n" + flags)
	}
	if c.examples != "" {
		b.WriteString("\nExamples:\n" + indent(c.examples))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// groupHelp prints the commands of one of Docker's groups.
func groupHelp(w io.Writer, group string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: sbx %s COMMAND [flags] [arguments]\n\nCommands:\n", group)
	for _, word := range members(group) {
		if c, ok := lookup(group + " " + word); ok {
			fmt.Fprintf(&b, "  %-10s  %s\n", word, c.short)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c command) long() string {
	return strings.ToUpper(c.short[:1]) + c.short[1:] + "."
}

func usageLine(c command) string {
	line := "sbx " + c.name
	if c.flags != nil {
		line += " [flags]"
	}
	if c.args != "" {
		line += " " + c.args
	}
	return line
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n"
}

func newHelp() command {
	return command{
		name: "help", group: groupOther, args: "[COMMAND]", max: 2, names: wantWords,
		short: "explain a command", examples: "sbx help run\nsbx help volume create",
		run: func(s streams, args []string) error {
			if len(args) == 0 {
				return overview(s.out)
			}
			name := strings.Join(args, " ")
			if members(name) != nil {
				return groupHelp(s.out, name)
			}
			c, ok := lookup(name)
			if !ok {
				return usageError{fmt.Sprintf("%q is not a command of sbx", name)}
			}
			return help(s.out, c)
		},
	}
}

// flagNames lists the long flags of a command, for completion.
func flagNames(fs *pflag.FlagSet) []string {
	names := []string{"--help"}
	fs.VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return names
}
