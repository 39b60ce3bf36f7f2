package main

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"sbx/api"
)

func newImport() command {
	var o api.Import
	return command{
		name: "import", group: groupImages, args: "FILE|- [NAME[:TAG]]", min: 1, max: 2, names: wantFiles,
		short: "make an image of a root file system in a tar archive (plain, gzip, xz, zstd, bzip2)",
		examples: `sbx import rootfs.tar.zst debian:13
mmdebstrap trixie - | sbx import - debian:13
sbx import -c 'CMD ["python3"]' rootfs.tar python`,
		flags: func(f *pflag.FlagSet) {
			f.VarP((*list)(&o.Changes), "change", "c", "apply a Dockerfile `INSTRUCTION`: CMD, ENTRYPOINT, ENV, ...")
			f.StringVarP(&o.Message, "message", "m", "", "say what it is, in the image's history")
		},
		run: func(s streams, args []string) error {
			o.Source = args[0]
			if len(args) == 2 {
				o.Name = args[1]
				if err := checkNewName(o.Name); err != nil {
					return err
				}
			}
			f, err := archive(s, args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			p := startFileProgress(s.err, f)
			defer p.stop()
			_, err = askWhile(s, p.clear, api.VerbImport, o, f)
			return err
		},
	}
}

// archive opens what is to be imported. The supervisor reads from this very
// file, in a user namespace where the path may mean nothing.
func archive(s streams, source string) (*os.File, error) {
	if source == "-" {
		if isTerminal(s.in) {
			return nil, usageError{"standard input is a terminal: give a file or a pipe"}
		}
		return s.in, nil
	}
	if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
		return nil, &api.Error{Op: "import " + source, Msg: "sbx fetches no URLs yet", Hint: "use 'curl -L URL | sbx import - NAME'"}
	}
	f, err := os.OpenFile(source, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, api.Wrap("open", source, errors.Unwrap(err))
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = errors.New("it is a directory: pack it with 'tar c -C DIR .'")
	}
	if err != nil {
		f.Close()
		return nil, api.Wrap("import", source, err)
	}
	return f, nil
}
