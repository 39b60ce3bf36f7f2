package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

func newSave() command {
	var o api.Save
	var output string
	return command{
		name: "save", group: groupImages, args: "IMAGE [IMAGE...]", min: 1, max: -1, names: wantImages,
		short: "write images to an archive, or to a directory that others may pull from",
		examples: `sbx save -o debian.tar debian:13
sbx save debian | ssh other sbx load
sbx save --format oci-dir -o /srv/images debian:13`,
		flags: func(f *pflag.FlagSet) {
			f.StringVarP(&output, "output", "o", "", "`FILE`, or DIR, to write (default: standard output)")
			f.StringVar(&o.Format, "format", api.DockerArchive, "`docker-archive|oci-archive|oci-dir|docker-dir`")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "show no progress")
		},
		run: func(s streams, args []string) error {
			o.Names = args
			switch o.Format {
			case api.DockerArchive, api.OCIArchive:
				return writeTo(s, output, api.VerbSave, o)
			case api.OCIDir, api.DockerDir:
			default:
				return invalid("--format", o.Format, "expected docker-archive, oci-archive, oci-dir or docker-dir")
			}
			if output == "" {
				return &flagError{"--format " + o.Format + " needs --output DIR"}
			}
			var err error
			if o.Dir, err = absolute("--output", output); err == nil {
				_, err = ask(s, api.VerbSave, o)
			}
			return err
		},
	}
}

func newExport() command {
	var output string
	return command{
		name: "export", group: groupInside, args: "SANDBOX", min: 1, max: 1, names: wantSandbox,
		short: "write a sandbox's files to a tar archive", examples: "sbx export -o web.tar web\nsbx export web | tar t",
		flags: func(f *pflag.FlagSet) {
			f.StringVarP(&output, "output", "o", "", "`FILE` to write (default: standard output)")
		},
		run: func(s streams, args []string) error {
			return writeTo(s, output, api.VerbExport, api.Name{Name: args[0]})
		},
	}
}

// writeTo sends a request along with the file that the supervisor writes: the
// one at path, or standard output.
func writeTo(s streams, path, verb string, body any) error {
	if path == "" || path == "-" {
		if isTerminal(s.out) {
			return &flagError{"standard output is a terminal: write to a file with -o, or to a pipe"}
		}
		// What is said about it must not get into the archive.
		_, err := ask(streams{s.in, s.err, s.err}, verb, body, s.out)
		return err
	}
	out, err := createOutFile(path)
	if err != nil {
		return err
	}
	defer out.drop()
	if _, err := ask(s, verb, body, out.f); err != nil {
		return err
	}
	return out.keep()
}
