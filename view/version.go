package view

import (
	"fmt"
	"strings"
)

// VersionFacts describe both ends of the socket.
type VersionFacts struct {
	Client Component
	Server Component
}

// Component is one program. What is empty is not printed.
type Component struct {
	Version   string
	Protocol  int    // api.Protocol
	GoVersion string // runtime.Version()
	Os        string // GOOS
	Arch      string // GOARCH
}

// Version is docker version: text, JSON for the format "json", or a Go template:
// {{.Server.Version}}.
func Version(facts VersionFacts, format string) (string, error) {
	if format == "" {
		client, server := facts.Client.text("Client"), facts.Server.text("Server")
		return tabulate(client, 20, 1) + "\n" + tabulate(server, 20, 1), nil
	}
	return renderOne(facts, format)
}

func (c Component) text(title string) string {
	var b strings.Builder
	b.WriteString(title + ":\n")
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s:\t%s\n", name, Safe(value))
		}
	}
	line("Version", c.Version)
	if c.Protocol != 0 {
		line("Protocol", fmt.Sprint(c.Protocol))
	}
	line("Go version", c.GoVersion)
	if c.Os != "" {
		line("OS/Arch", c.Os+"/"+c.Arch)
	}
	return b.String()
}
