package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"sbx/api"
)

func parseSpec(t *testing.T, args ...string) (api.Spec, error) {
	t.Helper()
	var f specFlags
	c := command{name: "run", program: true, flags: f.add}
	fs := c.flagSet()
	if err := fs.Parse(args); err != nil {
		return api.Spec{}, explain(c, err)
	}
	return f.spec(fs, fs.Args())
}

// TestSpec has one line for each flag: what it makes of a Spec, as it travels.
func TestSpec(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("FROM_HERE", "there")
	for name, text := range map[string]string{
		"env": "\uFEFF# comment\n\n  A=1\nB= two words \"q\"\nFROM_HERE\nNOT_SET_ANYWHERE\n", "labels": "k=v\nbare\n",
		"seccomp.json": `{"defaultAction":"SCMP_ACT_ALLOW"}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("src", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, want string }{
		{"img", `{}`},
		{"img ls -l --rm", `{"process":{"cmd":["ls","-l","--rm"]}}`},
		{"img -- ls", `{"process":{"cmd":["--","ls"]}}`},
		{"-it img sh", `{"process":{"cmd":["sh"],"tty":true,"stdin":true}}`},
		{"--name web -h box img", `{"name":"web","hostname":"box"}`},
		{"--rm --init -u 1:2 -w /a/../b img", `{"process":{"workdir":"/b","user":"1:2","init":true},"lifecycle":{"auto_remove":true}}`},
		{"--entrypoint sh img -c id", `{"process":{"entrypoint":["sh"],"cmd":["-c","id"]},"entrypoint_set":true}`},
		{"--entrypoint= img id", `{"process":{"cmd":["id"]},"entrypoint_set":true}`},
		{"-e A=b=c -e FROM_HERE -e NOT_SET_ANYWHERE -e E= img", `{"process":{"env":["A=b=c","FROM_HERE=there","E="]}}`},
		{"--env-file env -e A=2 img", `{"process":{"env":["A=1","B= two words \"q\"","FROM_HERE=there","A=2"]}}`},
		{"-l a=b=c -l bare --label-file labels -l k=w img", `{"labels":{"a":"b=c","bare":"","k":"w"}}`},
		{"--ulimit nofile=1:2 --ulimit core=-1 --ulimit nofile=5 img", `{"process":{"rlimits":[{"name":"nofile","soft":5,"hard":5},{"name":"core","soft":18446744073709551615,"hard":18446744073709551615}]}}`},
		{"--ulimit nproc=1:-1 img", `{"process":{"rlimits":[{"name":"nproc","soft":1,"hard":18446744073709551615}]}}`},
		{"--userns keep-id:uid=7 img", `{"isolation":{"userns":"keep-id:uid=7"}}`},
		{"--userns private img", `{}`},
		{"--network host --pid host --ipc container:a --uts host img", `{"isolation":{"network":"host","pid":"host","ipc":"container:a","uts":"host"}}`},
		{"--net none --ipc shareable --pid private img", `{"isolation":{"network":"none"}}`},
		{"--cap-drop all --cap-add net_raw --cap-add CAP_CHOWN img", `{"isolation":{"cap_add":["NET_RAW","CHOWN"],"cap_drop":["ALL"]}}`},
		{"--security-opt no-new-privileges img", `{"isolation":{"no_new_privileges":true}}`},
		{"--security-opt no-new-privileges:true --security-opt no-new-privileges=false img", `{}`},
		{"--security-opt seccomp=unconfined img", `{"isolation":{"seccomp":"unconfined"}}`},
		{"--security-opt seccomp:default img", `{}`},
		{"--security-opt seccomp=seccomp.json img", `{"isolation":{"seccomp":"{\"defaultAction\":\"SCMP_ACT_ALLOW\"}"}}`},
		{"--privileged --read-only img", `{"isolation":{"privileged":true,"read_only":true}}`},
		{"--stop-signal rtmin+3 --stop-timeout -1 img", `{"lifecycle":{"stop_signal":"37","stop_timeout":-1}}`},
		{"--stop-signal int --stop-timeout 0 img", `{"lifecycle":{"stop_signal":"SIGINT","stop_timeout":0}}`},
		{"--log-opt max-size=10m --log-opt max-file=3 --log-driver k8s-file img", `{"lifecycle":{"log_opts":{"max-file":"3","max-size":"10m"}}}`},
		{"--pull never --restart no img", `{"pull":"never"}`},
		{"-v ./src:/dst:ro img", `{"mounts":[{"type":"bind","source":"$DIR/src","target":"/dst","read_only":true}]}`},
		{"-v $DIR/src/../src/:/dst/ img", `{"mounts":[{"type":"bind","source":"$DIR/src","target":"/dst"}]}`},
		{"-v .:/a:rw img", `{"mounts":[{"type":"bind","source":"$DIR","target":"/a"}]}`},
		{"--mount type=bind,src=src,dst=/d,ro img", `{"mounts":[{"type":"bind","source":"$DIR/src","target":"/d","read_only":true}]}`},
		{"--mount type=bind,source=$DIR/src,target=/d,readonly=false img", `{"mounts":[{"type":"bind","source":"$DIR/src","target":"/d"}]}`},
		{"--mount type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1777 img", `{"mounts":[{"type":"tmpfs","target":"/t","options":"size=1048576,mode=1777"}]}`},
		{"-v /x img", `{"mounts":[{"type":"volume","target":"/x"}]}`},
		{"-v db:/x:ro,nocopy,z,cached img", `{"mounts":[{"type":"volume","source":"db","target":"/x","read_only":true,"volume":{"no_copy":true}}]}`},
		{"-v .:/x:noexec,suid,dev,U,Z,rprivate,bind img", `{"mounts":[{"type":"bind","source":"$DIR","target":"/x","options":"noexec,suid,dev,U,nonrecursive"}]}`},
		{"--mount src=db,dst=/x,volume-label=a=b,volume-opt=type=tmpfs,volume-driver=local,volume-nocopy img",
			`{"mounts":[{"type":"volume","source":"db","target":"/x","volume":{"no_copy":true,"labels":{"a":"b"},"options":{"type":"tmpfs"}}}]}`},
		{"--mount dst=/x,ro --mount source=db,target=/y,volume-subpath=a/b,U=true img", `{"mounts":[{"type":"volume","target":"/x","read_only":true},` +
			`{"type":"volume","source":"db","target":"/y","options":"U","subpath":"a/b"}]}`},
		{"--mount type=bind,src=.,dst=/x,bind-propagation=rprivate,bind-recursive=writable,readonly,relabel=shared,noexec,consistency=cached img",
			`{"mounts":[{"type":"bind","source":"$DIR","target":"/x","read_only":true,"options":"writable,noexec"}]}`},
		{"--mount type=bind,src=.,dst=/x,bind-nonrecursive,bind-recursive=disabled img", `{"mounts":[{"type":"bind","source":"$DIR","target":"/x","options":"nonrecursive,nonrecursive"}]}`},
		{"--volumes-from a --volumes-from b:ro --volume-driver local img", `{"volumes_from":["a","b:ro"]}`},
		{"--tmpfs /t --tmpfs /u:size=64m,ro,mode=700,noexec img", `{"mounts":[{"type":"tmpfs","target":"/t"},{"type":"tmpfs","target":"/u","read_only":true,"options":"size=64m,mode=700,noexec"}]}`},
		{"--device /dev/null --device /dev/zero:/dev/nothing --device /dev/full:/f:rwm img", `{"mounts":[{"type":"bind","source":"/dev/null","target":"/dev/null","options":"device"},` +
			`{"type":"bind","source":"/dev/zero","target":"/dev/nothing","options":"device"},{"type":"bind","source":"/dev/full","target":"/f","options":"device"}]}`},
		{"--device /dev/null:rw --device /dev/pts/:/other img", `{"mounts":[{"type":"bind","source":"/dev/null","target":"/dev/null","options":"device"},{"type":"bind","source":"/dev/pts","target":"/other","options":"device"}]}`},
		{"--group-add audio --group-add 44 img", `{"process":{"groups":["audio","44"]}}`},
		{"--group-add keep-groups img", `{"process":{"groups":["keep-groups"]}}`},
		{"--sysctl net.core.somaxconn=5 --sysctl net.ipv4.ping_group_range=0 --sysctl net.core.somaxconn=6 --sysctl kernel.sem=250 img",
			`{"isolation":{"sysctls":{"kernel.sem":"250","net.core.somaxconn":"6","net.ipv4.ping_group_range":"0"}}}`},
		{"--domainname lab.example img", `{"domain":"lab.example"}`},
		{"--here img", `{"process":{"workdir":"$DIR"},"mounts":[{"type":"bind","source":"$DIR","target":"$DIR"}]}`},
		{"--here -w / img", `{"process":{"workdir":"/"},"mounts":[{"type":"bind","source":"$DIR","target":"$DIR"}]}`},
	} {
		args := strings.Fields(strings.ReplaceAll(test.args, "$DIR", dir))
		got, err := parseSpec(t, args...)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		if got.Image != "img" {
			t.Errorf("%s: image %q", test.args, got.Image)
		}
		if got.Pull == "missing" {
			got.Pull = ""
		}
		got.Image, got.Caller = "", api.Caller{}
		for i := range got.Mounts {
			m := &got.Mounts[i]
			if (m.Type == "bind") != (m.Ino != 0) {
				t.Errorf("%s: mount %d has inode %d", test.args, i, m.Ino)
			}
			m.Dev, m.Ino = 0, 0
		}
		var want api.Spec
		if err := json.Unmarshal([]byte(strings.ReplaceAll(test.want, "$DIR", dir)), &want); err != nil {
			t.Fatal(err)
		}
		if g, w := asJSON(t, got), asJSON(t, want); g != w {
			t.Errorf("%s:\n got %s\nwant %s", test.args, g, w)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRefusals: what cannot be honoured is an error that says so, with Docker's
// exit status for it, before anything is started.
func TestRefusals(t *testing.T) {
	h := newHome(t)
	dir := h.dir
	for name, text := range map[string]string{"bad.env": "A=1\nno name here=1\n", "bad.json": "{", "empty.json": "{}", "there": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const usage = "See 'sbx run --help'.\n"
	for _, test := range []struct {
		args, want string
		code       int
	}{
		{"run --device dev/null img", `run: --device "dev/null": the device is not an absolute path`, 125},
		{"run --device /dev/null:r img", `run: --device "/dev/null:r": only root can allow less of a device than you may yourself: leave the permissions out`, 125},
		{"run --device /dev/null:x img", `run: --device "/dev/null:x": expected permissions of r, w and m`, 125},
		{"run --device /dev/null:/a:rw:b img", `run: --device "/dev/null:/a:rw:b": expected DEVICE[:TARGET]`, 125},
		{"run --device /dev/none img", `run: --device "/dev/none": no such file or directory`, 125},
		{"run --device /etc/passwd img", `run: --device "/etc/passwd": it is no device; use --volume`, 125},
		{"run --device /etc img", `run: --device "/etc": a directory of devices is one below /dev; use --volume for others`, 125},
		{"run --device /dev/null:dev img", `run: --device "/dev/null:dev": expected permissions of r, w and m`, 125},
		{"run --device vendor.example/gpu=all img", `run: --device "vendor.example/gpu=all" is not supported yet: sbx reads no CDI files; give the devices themselves`, 125},
		{"run --gpus all img", `run: --gpus is not supported yet: sbx reads no CDI files; give the devices with --device and the driver's libraries with -v`, 125},
		{"run --group-add= img", `run: --group-add "": expected a name or a number`, 125},
		{"run --group-add keep-groups --group-add 5 img", `run: --group-add keep-groups cannot be had with other groups: the kernel takes one list, or leaves yours`, 125},
		{"run --sysctl x img", `run: --sysctl "x": expected NAME=VALUE, the name as sysctl(8) prints it`, 125},
		{"run --sysctl net/../../x=1 img", `run: --sysctl "net/../../x=1": expected NAME=VALUE, the name as sysctl(8) prints it`, 125},
		{"run --sysctl net....x=1 img", `run: --sysctl "net....x=1": expected NAME=VALUE, the name as sysctl(8) prints it`, 125},
		{"run --sysctl vm.swappiness=1 img", `run: --sysctl "vm.swappiness=1": it is a setting of the whole machine, which a sandbox cannot have another value of`, 125},
		{"run --sysctl kernel.domainname=x img", `run: --sysctl "kernel.domainname=x": use --domainname`, 125},
		{"run --ipc host --sysctl kernel.sem=1 img", `run: --sysctl "kernel.sem=1": with --ipc host it is not the sandbox's own`, 125},
		{"run --network host --sysctl net.core.somaxconn=1 img", `run: --sysctl "net.core.somaxconn": with --network host it is not the sandbox's own`, 125},
		{"run --network container:ab --sysctl net.core.somaxconn=1 img", `run: --sysctl "net.core.somaxconn": with --network container:ab it is not the sandbox's own`, 125},
		{"run --uts host --domainname x img", `run: --hostname and --domainname exclude --uts host`, 125},
		{"create --userns host img", "create: --userns host is not supported yet: a sandbox has a user namespace of its own, in which you are root; leave the flag out", 125},
		{"run --userns keep-id:size=1 img", "run: --userns \"keep-id:size=1\": expected keep-id or keep-id:uid=N,gid=N", 125},
		{"run --foo img", "run: unknown flag: --foo\n" + usage, 125},
		{"run -Z img", "run: unknown shorthand flag: 'Z' in -Z\n" + usage, 125},
		{"run --name", "run: flag needs an argument: --name\n" + usage, 125},
		{"run", "run: takes at least 1 argument\n" + usage, 125},
		{"run --rm=maybe img", `run: invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": invalid syntax` + "\n" + usage, 125},
		{"run -e =x img", `run: --env "=x": it has no name`, 125},
		{"run --env-file bad.env img", `run: --env-file "bad.env": line 2: space in the name "no name here"`, 125},
		{"run --env-file gone img", `run: --env-file "gone": no such file or directory`, 125},
		{"run --label =x img", `run: --label "=x": it has no name`, 125},
		{"run -v d:/x img", `run: --volume "d:/x": "d" is no name for a volume: expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit`, 125},
		{"run -v data img", `run: --volume "data": the target "data" is not an absolute path`, 125},
		{"run -v /x:ro img", `run: --volume "/x:ro": the target "ro" is not an absolute path`, 125},
		{"run -v ./\xff:/x img", `run: --volume "./\xff:/x": the name of the source is not UTF-8: rename it`, 125},
		{"run -v .:/x:nocopy img", `run: --volume ".:/x:nocopy": the option nocopy is for volumes: a bind is never filled`, 125},
		{"run -v .:/x:rshared img", `run: --volume ".:/x:rshared": a sandbox cannot mount on the host, so the option rshared has no meaning: use rslave`, 125},
		{"run -v src:/x:U,ro img", `run: --volume "src:/x:U,ro": the option U changes files, and ro keeps them as they are: give one of both`, 125},
		{"run -v /:/x:U img", `run: --volume "/:/x:U": the option U would give away your home directory: name a directory in it`, 125},
		{"run -v data:/x:rslave img", `run: --volume "data:/x:rslave": nothing is mounted in a volume: leave out slave`, 125},
		{"run --volumes-from a:z img", `run: --volumes-from "a:z": expected SANDBOX[:ro|:rw]`, 125},
		{"run --volume-driver nfs img", `run: --volume-driver "nfs" is not supported yet: local is the only driver of volumes`, 125},
		{"run -v a/b:/x img", `run: --volume "a/b:/x": the source is a relative path: write ./a/b`, 125},
		{"run -v ./gone:/x img", `run: --volume "./gone:/x": source "` + dir + `/gone": no such file or directory: create it first, for example with mkdir`, 125},
		{"run -v .:x img", `run: --volume ".:x": the target "x" is not an absolute path`, 125},
		{"run -v .:/ img", `run: --volume ".:/": the target cannot be /`, 125},
		{"run -v .:/x/.. img", `run: --volume ".:/x/..": the target cannot be /`, 125},
		{"run -v .:/x:ro:ro img", `run: --volume ".:/x:ro:ro": expected [SOURCE:]TARGET[:OPTIONS]; for a path with a colon use --mount`, 125},
		{"run -v .:/x -v ..:/x/ img", `run: two mounts on "/x": give one`, 125},
		{"run --mount src=a,dst=/b img", `run: --mount "src=a,dst=/b": "a" is no name for a volume: expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit`, 125},
		{"run --mount src=vol,dst=/b,bind-propagation=rslave img", `run: --mount "src=vol,dst=/b,bind-propagation=rslave": the option bind-propagation is for type=bind`, 125},
		{"run --mount type=bind,src=.,dst=/b,bind-create-src img", `run: --mount "type=bind,src=.,dst=/b,bind-create-src": sbx makes nothing on the host: create the source first, for example with mkdir`, 125},
		{"run --mount src=vol,dst=/b,volume-subpath=../c img", `run: --mount "src=vol,dst=/b,volume-subpath=../c": the subpath "../c" is not a path in the volume or image`, 125},
		{"run --mount src=vol,dst=/b,volume-driver=nfs img", `run: --mount "src=vol,dst=/b,volume-driver=nfs": volume-driver "nfs" is not supported yet: local is the only driver of volumes`, 125},
		{"volume create d", `volume create: "d" is no name for a volume: expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit`, 125},
		{"volume create -d nfs db", `volume create: --driver "nfs" is not supported yet: local is the only driver of volumes`, 125},
		{"run --mount type=bind,dst=/b,bind-propagation=shared img", `run: --mount "type=bind,dst=/b,bind-propagation=shared": a bind needs source=`, 125},
		{"run --mount type=bind,dst=/b img", `run: --mount "type=bind,dst=/b": a bind needs source=`, 125},
		{"run --tmpfs /t:size=lots img", `run: --tmpfs "/t:size=lots": unknown option "size=lots", see tmpfs(5)`, 125},
		{"run --tmpfs t img", `run: --tmpfs "t": the target "t" is not an absolute path`, 125},
		{"run --ulimit nofile=2:1 img", `run: --ulimit "nofile=2:1": the soft limit 2 is above the hard limit 1`, 125},
		{"run --ulimit files=1 img", `run: --ulimit "files=1": no limit is called "files"`, 125},
		{"run --cap-add NET_EVERYTHING img", `run: --cap-add "NET_EVERYTHING": no capability has that name, see capabilities(7)`, 125},
		{"run --security-opt apparmor=x img", `run: --security-opt apparmor is not supported yet: an ordinary user can set no-new-privileges and seccomp only`, 125},
		{"run --security-opt seccomp=gone img", `run: --security-opt "seccomp=gone": no such file or directory`, 125},
		{"run --security-opt seccomp=bad.json img", `run: --security-opt "seccomp=bad.json": not a seccomp profile: unexpected end of JSON input`, 125},
		{"run --security-opt seccomp=empty.json img", `run: --security-opt "seccomp=empty.json": not a seccomp profile: it has no defaultAction`, 125},
		{"run --security-opt foo img", `run: --security-opt "foo": expected no-new-privileges or seccomp=FILE`, 125},
		{"run --pid container: img", `run: --pid "container:": expected host or container:NAME`, 125},
		{"run --uts container:a img", `run: --uts "container:a": a host name is shared with the host or with nobody`, 125},
		{"run --uts host -h a img", `run: --hostname and --domainname exclude --uts host`, 125},
		{"run --stop-signal NOPE img", `run: --stop-signal "NOPE": no signal has that name, see signal(7)`, 125},
		{"run --stop-signal 65 img", `run: --stop-signal "65": signals have numbers from 1 to 64`, 125},
		{"run --restart sometimes img", `run: --restart "sometimes": expected no, on-failure[:N], always or unless-stopped`, 125},
		{"run --restart always:3 img", `run: --restart "always:3": only on-failure has a maximum of retries`, 125},
		{"run --restart on-failure:-1 img", `run: --restart "on-failure:-1": the maximum of retries is a number`, 125},
		{"run --rm --restart always img", `run: conflicting options: cannot specify both --restart and --rm`, 125},
		{"run --no-healthcheck --health-cmd x img", `run: --no-healthcheck conflicts with --health-* options`, 125},
		{"run --health-interval 1us img", `run: --health-interval "1µs": expected 1ms or more`, 125},
		{"run --health-retries -1 img", `run: --health-retries cannot be negative`, 125},
		{"run --health-on-failure panic img", `run: --health-on-failure "panic": expected none, kill, restart or stop`, 125},
		{"wait --condition dark a", `wait: --condition "dark": expected not-running, next-exit or removed`, 125},
		{"run --log-driver json-file img", `run: --log-driver "json-file" is not supported yet: sbx keeps logs in k8s-file format only`, 125},
		{"run --name -x img", `run: --name "-x": expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit`, 125},
		{"run --name ../x img", `run: --name "../x": expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit`, 125},
		{"run -w x img", `run: --workdir "x": not an absolute path`, 125},
		{"run --pull maybe img", `run: --pull "maybe": expected always, missing, newer or never`, 125},
		{"run --detach-keys ctrl-1 img", `run: --detach-keys "ctrl-1": expected characters or ctrl-X, by commas, like ctrl-p,ctrl-q`, 125},
		{"run --cidfile there img", `run: --cidfile "there": the file exists: remove it, unless its sandbox is still in use`, 125},
		{"run -d -a stdout img", `run: --attach and --detach exclude each other`, 125},
		{"run -it img", `the input device is not a TTY: leave out -t`, 125},
		{"rm", "rm: takes at least 1 argument\nSee 'sbx rm --help'.\n", 1},
		{"rename a ../b", `rename: name "../b": expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit`, 125},
		{"kill -s NOPE x", `kill: --signal "NOPE": no signal has that name, see signal(7)`, 125},
		{"stop -t -2 x", `stop: --timeout "-2": expected seconds, or -1 to wait for ever`, 125},
		{"logs --tail x y", `logs: --tail "x": expected a number of lines, or all`, 125},
		{"ps extra", "ps: takes no arguments\nSee 'sbx ps --help'.\n", 1},
		{"ps -f running", `ps: --filter "running": expected KEY=VALUE`, 125},
		{"start -a x y", "start: only one sandbox can be started and attached to\nSee 'sbx start --help'.\n", 1},
		{"import http://x y", `import http://x: sbx fetches no URLs yet: use 'curl -L URL | sbx import - NAME'`, 1},
		{"import gone y", `open gone: no such file or directory`, 1},
		{"import . y", `import .: it is a directory: pack it with 'tar c -C DIR .'`, 1},
		{"import there host", `import: name "host": it stands for the host's own file system`, 125},
		{"run --disable-content-trust=false img", `run: --disable-content-trust=false is not supported yet: sbx does not have Docker's content trust; signatures are what --signature-policy is for`, 125},
		{"run --platform linux/amd64 host", `run: --platform: the image host is this machine's own`, 125},
		{"run --cert-dir gone img", `run: --cert-dir "gone": no such file or directory`, 125},
		{"run --creds :x img", `run: --creds: expected USER[:PASSWORD]`, 125},
		{"pull", "pull: takes at least 1 argument\nSee 'sbx pull --help'.\n", 1},
		{"pull --policy maybe img", `pull: --policy "maybe": expected always, missing, newer or never`, 125},
		{"pull --signature-policy gone img", `pull: --signature-policy "gone": no such file or directory`, 125},
		{"pull --creds me img", `ask for the password: standard input is not a terminal: give --username and --password-stdin`, 1},
		{"pull --arch arm64 img", `pull: --arch is not supported yet: use --platform OS/ARCH[/VARIANT]`, 125},
		{"push --platform linux/arm64 img", `push: --platform is not supported yet: sbx pushes one platform, the one the image was pulled for`, 125},
		{"push --compression-format lzma img", `push: --compression-format "lzma": expected gzip or zstd`, 125},
		{"push --compression-level 10 img", `push: --compression-level "10": expected 1 to 9`, 125},
		{"push --compression-format zstd --compression-level 21 img", `push: --compression-level "21": expected 1 to 20`, 125},
		{"push --format v2s1 img", `push: --format v2s1 is not supported yet: registries have dropped it`, 125},
		{"push --format v3 img", `push: --format "v3": expected oci or v2s2`, 125},
		{"login", `ask for the password: standard input is not a terminal: give --username and --password-stdin`, 1},
		{"login --password-stdin", `login: --password-stdin needs --username`, 125},
		{"login -u a -p b --password-stdin", `login: --password and --password-stdin exclude each other`, 125},
		{"login -u a --password-stdin", `login: --password-stdin: standard input is empty`, 125},
		{"logout -a x", "logout: --all takes no registry\nSee 'sbx logout --help'.\n", 1},
		{"search --limit 101 x", `search: --limit "101": expected 1 to 100`, 125},
		{"search --filter stars x", `search: --filter "stars": expected KEY=VALUE`, 125},
		{"images --tree", `images: --tree is not supported yet: sbx lists images in one way`, 125},
		{"image ls --filter =x", `images: --filter "=x": expected KEY=VALUE`, 125},
		{"rmi", "rmi: takes at least 1 argument\nSee 'sbx rmi --help'.\n", 1},
		{"rmi -a x", "rmi: --all takes no image\nSee 'sbx rmi --help'.\n", 1},
		{"rmi --no-prune x", `rmi: --no-prune is not supported yet: sbx keeps no layers that no image uses`, 125},
		{"tag a host:1", `tag: name "host:1": it stands for the host's own file system`, 125},
		{"image inspect --platform linux/arm64 x", `image inspect: --platform is not supported yet: an image here is for one platform, the one it was pulled for`, 125},
		{"inspect --type plugin x", `inspect: --type plugin is not supported yet: sbx inspects sandboxes, images, networks and volumes`, 125},
		{"save --format zip x", `save: --format "zip": expected docker-archive, oci-archive, oci-dir or docker-dir`, 125},
		{"save --format oci-dir x", `save: --format oci-dir needs --output DIR`, 125},
		{"save -o gone/x img", "create gone/x: no such file or directory", 1},
		{"save -o . img", "write .: is a directory", 1},
		{"load -i gone", `open gone: no such file or directory`, 1},
		{"container prune --filter until=1h", `container prune: --filter until is not supported yet: sandboxes are pruned by label only`, 125},
		{"system prune --filter name=x", `system prune: --filter "name=x": expected label=KEY[=VALUE]`, 125},
		{"build", "build: takes 1 argument, not 0\nSee 'sbx build --help'.\n", 1},
		{"build .", `open the Dockerfile: no Dockerfile and no Containerfile in .: give its name with -f`, 1},
		{"build gone", `open the context gone: no such file or directory`, 1},
		{"build -f gone .", `open gone: no such file or directory`, 1},
		{"build -f - -", `build: standard input cannot be the context and the Dockerfile`, 125},
		{"build --annotation a=b .", `build: --annotation is not supported yet: sbx keeps no annotations; use --label`, 125},
		{"build --provenance=true .", `build: --provenance is not supported yet: sbx makes no attestations`, 125},
		{"build --isolation hyperv .", `build: --isolation hyperv is not supported yet: a step is a sandbox of the usual kind`, 125},
		{"build --call outline .", `build: --call outline is not supported yet: sbx builds, or checks`, 125},
		{"build --build-arg =x .", `build: --build-arg "=x": it has no name`, 125},
		{"build --pull=sometimes .", `build: --pull "sometimes": expected always, missing, newer or never`, 125},
		{"build --network lab .", `build: --network "lab": expected default, none or host`, 125},
		{"build --allow all .", `build: --allow "all": expected network.host or security.insecure`, 125},
		{"build --add-host x .", `build: --add-host "x": expected NAME:ADDRESS or NAME:host-gateway`, 125},
		{"build --timestamp now .", `build: --timestamp "now": expected seconds since 1970`, 125},
		{"build --progress fancy .", `build: --progress "fancy": expected auto, plain, tty, quiet or rawjson`, 125},
		{"build --progress tty .", `build: --progress "tty": standard error is no terminal`, 125},
		{"build --format zip .", `build: --format "zip": expected oci or docker`, 125},
		{"build --ssh default .", `build: --ssh "default": no agent: SSH_AUTH_SOCK is not set`, 125},
		{"build -t host .", `build: name "host": it stands for the host's own file system`, 125},
		{"buildx create", `buildx create is not supported yet: sbx has one builder, itself`, 1},
		{"builder prune --keep-storage much", `builder prune: --keep-storage "much": expected a size like 64m`, 125},
		{"system events --filter x", `events: --filter "x": expected KEY=VALUE`, 125},
		{"image frobnicate", "\"image frobnicate\" is not a command of sbx\nSee 'sbx --help'.\n", 1},
		{"frobnicate", "\"frobnicate\" is not a command of sbx\nSee 'sbx --help'.\n", 1},
		{"container import x", "\"container import\" is not a command of sbx\nSee 'sbx --help'.\n", 1},
		{"-H tcp://x ps", `-H is not supported yet: sbx talks to its own supervisor on this machine only`, 125},
	} {
		got := h.sbx(strings.Fields(test.args)...)
		want := "sbx: " + strings.TrimSuffix(test.want, "\n") + "\n"
		if got.err != want || got.code != test.code || got.out != "" {
			t.Errorf("%s:\n got %q, status %d\nwant %q, status %d", test.args, got.err, got.code, want, test.code)
		}
	}
	if _, err := os.Stat(h.data); err == nil {
		t.Error("a refused command has made the data directory")
	}
}

// TestDockersFlags: every flag that docker has for a command of ours is either
// implemented or refused with a reason.
func TestDockersFlags(t *testing.T) {
	text, err := os.ReadFile("testdata/docker-flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]*pflag.FlagSet{}
	known := 0
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		first := slices.IndexFunc(words, func(w string) bool { return w[0] == '-' })
		cmd, flags := strings.Join(words[:first], " "), words[first:]
		if sets[cmd] == nil {
			c, ok := lookup(cmd)
			if !ok {
				t.Fatalf("no command %s", cmd)
			}
			sets[cmd] = c.flagSet()
		}
		long := strings.TrimPrefix(flags[len(flags)-1], "--")
		f := sets[cmd].Lookup(long)
		why := refusedFlag(cmd, long)
		switch {
		case long == "help":
		case (f == nil) == (why == ""):
			t.Errorf("%s --%s: implemented %t, refused because %q", cmd, long, f != nil, why)
		case len(flags) < 2:
		case f != nil && f.Shorthand != flags[0][1:]:
			t.Errorf("%s --%s has the letter %q, docker's is %s", cmd, long, f.Shorthand, flags[0])
		case f == nil && longName(cmd, flags[0][1:]) != long:
			t.Errorf("%s %s is not known to be --%s", cmd, flags[0], long)
		}
		known++
	}
	if known < 250 {
		t.Errorf("only %d flags in testdata", known)
	}
}
