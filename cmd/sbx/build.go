package main

import (
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

// buildFlags are the flags of build, as typed.
type buildFlags struct {
	api.Build
	file, ignoreFile       string
	args, labels, ulimits  []string
	contexts, secrets, ssh []string
	progress, call, epoch  string
	iidFile, metadata      string
	outputs                []string
	push                   bool
	limitFlags
	reachFlags
	buildIgnored
}

// buildIgnored are flags of Docker that ask for what is done anyway.
type buildIgnored struct {
	load, rm, forceRm, compress bool
	provenance, sbom, isolation string
	trust                       trustFlag
}

func newBuild() command {
	var o buildFlags
	var fs *pflag.FlagSet
	return command{
		name: "build", group: groupImages, args: "DIR|FILE|URL|-", min: 1, max: 1,
		short: "make an image of a Dockerfile",
		examples: `sbx build -t app .
sbx build -f docker/Dockerfile --target test --build-arg GO=1.26 .
sbx build --secret id=token,src=$HOME/.token --ssh default -t app .
sbx build -o type=local,dest=out https://git.example.com/app.git#v1.2
sbx build - < Dockerfile`,
		flags: func(f *pflag.FlagSet) {
			fs = f
			o.add(f)
		},
		run: func(s streams, args []string) error { return o.build(s, fs, args[0]) },
	}
}

func (o *buildFlags) add(f *pflag.FlagSet) {
	for _, flag := range [...]struct {
		to                 *[]string
		name, letter, what string
	}{
		{&o.Tags, "tag", "t", "`NAME[:TAG]` of the image; several may be given"},
		{&o.args, "build-arg", "", "`NAME[=VALUE]` of an ARG; without VALUE that of the environment"},
		{&o.NoCacheOf, "no-cache-filter", "", "run every step of a `STAGE` again"},
		{&o.secrets, "secret", "", "`SECRET` for RUN --mount=type=secret: id=NAME, with src=FILE or env=VARIABLE"},
		{&o.ssh, "ssh", "", "`AGENT` for RUN --mount=type=ssh and git: default or NAME, with =SOCKET or =KEY[,KEY] ($SSH_AUTH_SOCK)"},
		{&o.labels, "label", "", "`KEY[=VALUE]` for the image"},
		{&o.contexts, "build-context", "", "`NAME=PLACE` for FROM and --from: a DIR, docker-image://IMAGE, oci-layout://DIR or a URL"},
		{&o.AddHosts, "add-host", "", "`NAME:ADDRESS` for /etc/hosts of RUN"},
		{&o.Allow, "allow", "", "`RIGHT` for RUN: network.host for --network, security.insecure for --security"},
		{&o.outputs, "output", "o", "`OUTPUT` that the result goes to: DIR, -, or type=local|tar|oci|docker|image[,dest=PATH]"},
		{&o.ulimits, "ulimit", "", "`NAME=SOFT[:HARD]` for RUN"},
		{&o.CacheFrom, "cache-from", "", "`CACHE` to take steps from: NAME, or type=registry|local,..."},
		{&o.CacheTo, "cache-to", "", "`CACHE` to write: NAME, or type=registry|local|inline,...[,mode=max]"},
	} {
		f.VarP((*list)(flag.to), flag.name, flag.letter, flag.what)
	}
	f.StringVarP(&o.file, "file", "f", "", "Dockerfile to use, a `FILE`, or - for standard input (default: Dockerfile or Containerfile in the context)")
	f.StringVar(&o.Target, "target", "", "`STAGE` to build instead of the last one")
	f.StringVar(&o.Platform, "platform", "", "`OS/ARCH[/VARIANT]` (default: this machine's)")
	f.BoolVar(&o.NoCache, "no-cache", false, "run every step again")
	f.StringVar(&o.Pull, "pull", api.PullMissing, "get the images of FROM: `always|missing|newer|never`; alone: always")
	f.Lookup("pull").NoOptDefVal = api.PullAlways
	f.StringVar(&o.Network, "network", "", "`default|none|host` for RUN")
	f.StringVar(&o.iidFile, "iidfile", "", "write the image's id to a `FILE`")
	f.StringVar(&o.metadata, "metadata-file", "", "write the image's digests and names to a `FILE`, as JSON")
	f.BoolVar(&o.push, "push", false, "push the image under each of its names")
	f.BoolVar(&o.Squash, "squash", false, "make one layer of those that the build adds")
	f.StringVar(&o.Format, "format", "", "`oci|docker` (default: oci)")
	f.StringVar(&o.epoch, "timestamp", "", "`SECONDS` since 1970: no time in the image is later (default: $SOURCE_DATE_EPOCH, if set)")
	f.BoolVar(&o.Check, "check", false, "only check the Dockerfile")
	f.StringVar(&o.call, "call", "build", "`build|check`")
	f.StringVar(&o.ignoreFile, "ignorefile", "", "`FILE` to use instead of .dockerignore")
	f.StringVar(&o.progress, "progress", "", "`auto|plain|tty|quiet|rawjson` (default: $BUILDKIT_PROGRESS, or auto)")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print the image's id only")
	o.addLimits(f)
	o.addPulling(f)
	o.addIgnored(f)
}

// addLimits adds the limits of run that fit a build.
func (o *buildFlags) addLimits(f *pflag.FlagSet) {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.limitFlags.add(all)
	o.addFixed(all)
	for _, name := range [...]string{"memory", "memory-swap", "cpus", "cpu-shares", "cpu-quota", "cpu-period", "cpuset-cpus", "cpuset-mems",
		"pids-limit", "shm-size", "cgroup-parent", "cgroupns"} {
		f.AddFlag(all.Lookup(name))
	}
}

// addIgnored adds the flags of buildIgnored, which the help leaves out.
func (o *buildIgnored) addIgnored(f *pflag.FlagSet) {
	f.BoolVar(&o.load, "load", true, "")
	f.BoolVar(&o.rm, "rm", true, "")
	f.BoolVar(&o.forceRm, "force-rm", true, "")
	f.BoolVar(&o.compress, "compress", true, "")
	f.StringVar(&o.provenance, "provenance", "false", "")
	f.StringVar(&o.sbom, "sbom", "false", "")
	f.StringVar(&o.isolation, "isolation", "default", "")
	o.trust.add(f)
	for _, name := range [...]string{"load", "rm", "force-rm", "compress", "provenance", "sbom", "isolation", "disable-content-trust"} {
		f.Lookup(name).Hidden = true
	}
}

// check refuses what would not be the same without the flag.
func (o *buildIgnored) check() error {
	switch {
	case !o.load:
		return refused("--load=false", "what is built is in the store at once")
	case o.provenance != "false":
		return refused("--provenance", "sbx makes no attestations")
	case o.sbom != "false":
		return refused("--sbom", "sbx makes no attestations")
	case o.isolation != "default":
		return refused("--isolation "+o.isolation, "a step is a sandbox of the usual kind")
	}
	return o.trust.check()
}

// build sends the request, shows how it goes, and keeps what comes of it.
func (o *buildFlags) build(s streams, fs *pflag.FlagSet, context string) error {
	p := parcel{}
	defer p.close()
	err := o.read(s, fs)
	if err == nil {
		err = p.pack(s, o, context)
	}
	if err != nil {
		return err
	}
	conn, err := request(api.VerbBuild, o.Build, p.files...)
	if err != nil {
		return err
	}
	defer conn.Close()
	if o.Progress == buildTTY {
		defer watchSize(s, conn, o.Size)()
	}
	text := s
	if p.toStdout {
		text.out = s.err // standard output is the archive's
	}
	done, err := answer(text, conn, api.VerbBuild, func() {})
	if err != nil {
		return err
	}
	if done.Code == 0 && !o.Check {
		if err := p.keep(); err != nil {
			return err
		}
		if err := writeID(o.iidFile, strings.TrimSpace(done.Text)); err != nil {
			return err
		}
	}
	if err := printDone(text, done); err != nil {
		return err
	}
	if done.Code != 0 {
		return exitStatus(done.Code)
	}
	return o.pushAll(s)
}

// writeID writes an image's id to the file of --iidfile. It has it alone, without an
// end of line, as with Docker.
func writeID(path, id string) error {
	if path == "" {
		return nil
	}
	out, err := createOutFile(path)
	if err != nil {
		return err
	}
	defer out.drop()
	if _, err := out.f.WriteString(id); err != nil {
		return api.Wrap("write", path, err)
	}
	return out.keep()
}

// pushAll is --push.
func (o *buildFlags) pushAll(s streams) error {
	if !o.push {
		return nil
	}
	for _, name := range o.Tags {
		if _, err := ask(s, api.VerbPush, api.Push{Name: name, Quiet: o.Quiet, Reach: o.Reach}); err != nil {
			return err
		}
	}
	return nil
}
