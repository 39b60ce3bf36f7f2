package main

import (
	"strconv"

	"github.com/spf13/pflag"

	"sbx/api"
)

// pushFlags are the flags of push, as typed.
type pushFlags struct {
	api.Push
	level int
	trust trustFlag
	reachFlags
}

func newPush() command {
	var o pushFlags
	var fs *pflag.FlagSet
	return command{
		name: "push", group: groupImages, args: "NAME[:TAG] [DESTINATION]", min: 1, max: 2, names: wantImage,
		short: "send an image to a registry",
		examples: `sbx push registry.example.com/team/tool:1.2
sbx push tool registry.example.com/team/tool:1.2
sbx push --compression-format zstd tool oci:/srv/images:tool`,
		flags: func(f *pflag.FlagSet) {
			fs = f
			f.BoolVarP(&o.AllTags, "all-tags", "a", false, "all tags that a repository has here")
			f.BoolVarP(&o.Quiet, "quiet", "q", false, "show no progress")
			f.StringVar(&o.Compression, "compression-format", "", "`gzip|zstd` for layers that the registry does not have (default: gzip)")
			f.IntVar(&o.level, "compression-level", 0, "`N`, from fast to small: 1 to 9 for gzip, 1 to 20 for zstd")
			f.StringVar(&o.DigestFile, "digestfile", "", "write the manifest's digest to a `FILE`")
			f.StringVarP(&o.Format, "format", "f", "", "`oci|v2s2` manifest (default: as the image came)")
			o.trust.add(f)
			o.reachFlags.add(f)
			o.addCreds(f)
		},
		run: func(s streams, args []string) error {
			p, err := o.push(s, fs, args)
			if err != nil {
				return err
			}
			_, err = ask(s, api.VerbPush, p)
			return err
		},
	}
}

// push makes the request of the flags and of NAME [DESTINATION].
func (o *pushFlags) push(s streams, fs *pflag.FlagSet, args []string) (api.Push, error) {
	p := o.Push
	p.Name = args[0]
	if err := o.trust.check(); err != nil {
		return p, err
	}
	var err error
	if len(args) == 2 {
		if p.To, err = absoluteImage(args[1]); err != nil {
			return p, err
		}
	}
	switch p.Compression {
	case "", "gzip", "zstd":
	case "zstd:chunked", "estargz":
		return p, refused("--compression-format "+p.Compression, "sbx compresses with gzip and zstd")
	default:
		return p, invalid("--compression-format", p.Compression, "expected gzip or zstd")
	}
	switch p.Format {
	case "", "oci", "v2s2":
	case "v2s1":
		return p, refused("--format v2s1", "registries have dropped it")
	default:
		return p, invalid("--format", p.Format, "expected oci or v2s2")
	}
	if fs.Changed("compression-level") {
		if err := checkLevel(p.Compression, o.level); err != nil {
			return p, err
		}
		p.Level = &o.level
	}
	if p.DigestFile, err = absolute("--digestfile", p.DigestFile); err != nil {
		return p, err
	}
	p.Reach, err = o.reach(s, fs)
	return p, err
}

func checkLevel(format string, level int) error {
	most := 9
	if format == "zstd" {
		most = 20
	}
	if level < 1 || level > most {
		return invalid("--compression-level", strconv.Itoa(level), "expected 1 to "+strconv.Itoa(most))
	}
	return nil
}
