package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// documented are the options of -v and the keys of --mount that Docker 28 and podman 5.4
// document. Each does what it does there, or is an error with the reason; want is a part
// of that, or empty.
var documented = []struct{ mount, want string }{
	// -v
	{"D:/x:ro", ""}, {"D:/x:rw", ""}, {"D:/x:z", ""}, {"D:/x:Z", ""}, {"D:/x:U", ""}, {"D:/x:O", ""},
	{"vol:/x:O", ""}, {"D:/x:O,U", ""}, {"D/..:/x:U", "give away your home"}, {"D/..:/x:O,U", ""}, {"D:/x:O,upperdir=/a,workdir=/b", "leave out upperdir"},
	{"vol:/x:copy", ""}, {"vol:/x:nocopy", ""}, {"D:/x:nocopy", "a bind is never filled"},
	{"D:/x:exec", ""}, {"D:/x:noexec", ""}, {"D:/x:suid", ""}, {"D:/x:nosuid", ""}, {"D:/x:dev", ""}, {"D:/x:nodev", ""},
	{"D:/x:bind", ""}, {"D:/x:rbind", ""}, {"D:/x:private", ""}, {"D:/x:rprivate", ""}, {"D:/x:shared", "has no meaning"},
	{"D:/x:rshared", "has no meaning"}, {"D:/x:unbindable", "has no meaning"}, {"D:/x:runbindable", "has no meaning"},
	{"D:/x:idmap", "only root"}, {"D:/x:idmap=uids=0-1-10", "only root"}, {"D:/x:cached", ""}, {"D:/x:consistent", ""}, {"D:/x:delegated", ""},
	{"D:/x:volume-opt=a", "unknown option"},
	// --mount type=bind
	{"type=bind,source=D,destination=/x", ""}, {"type=bind,src=D,dst=/x", ""}, {"type=bind,src=D,target=/x", ""},
	{"type=bind,src=D,dst=/x,readonly", ""}, {"type=bind,src=D,dst=/x,ro=true", ""}, {"type=bind,src=D,dst=/x,bind-propagation=rprivate", ""},
	{"type=bind,src=D,dst=/x,bind-propagation=private", ""}, {"type=bind,src=D,dst=/x,bind-propagation=shared", "has no meaning"},
	{"type=bind,src=D,dst=/x,bind-propagation=unbindable", "has no meaning"}, {"type=bind,src=D,dst=/x,consistency=cached", ""},
	{"type=bind,src=D,dst=/x,bind-nonrecursive", ""}, {"type=bind,src=D,dst=/x,bind-nonrecursive=true", ""},
	{"type=bind,src=D,dst=/x,bind-recursive=enabled", ""}, {"type=bind,src=D,dst=/x,bind-recursive=disabled", ""},
	{"type=bind,src=D,dst=/x,ro,bind-recursive=writable", ""}, {"type=bind,src=D,dst=/x,bind-recursive=writable", "that is read-only"},
	{"type=bind,src=D,dst=/x,ro,bind-recursive=readonly", ""}, {"type=bind,src=D,dst=/x,bind-create-src", "create the source first"},
	{"type=bind,src=D,dst=/x,relabel=shared", ""}, {"type=bind,src=D,dst=/x,relabel=private", ""}, {"type=bind,src=D,dst=/x,U=true", ""},
	{"type=bind,src=D,dst=/x,chown=true", ""}, {"type=bind,src=D,dst=/x,idmap", "only root"}, {"type=bind,src=D,dst=/x,idmap=true", "only root"},
	{"type=bind,src=D,dst=/x,subpath=a", "of a volume or an image"},
	// type=volume
	{"type=volume,src=vol,dst=/x", ""}, {"type=volume,dst=/x", ""}, {"src=vol,dst=/x,readonly=1", ""}, {"src=vol,dst=/x,volume-nocopy", ""},
	{"src=vol,dst=/x,volume-label=a=b", ""}, {"src=vol,dst=/x,volume-opt=type=tmpfs", ""}, {"src=vol,dst=/x,volume-driver=local", ""},
	{"src=vol,dst=/x,volume-driver=nfs", "only driver"}, {"src=vol,dst=/x,volume-subpath=a/b", ""}, {"src=vol,dst=/x,subpath=a", ""},
	{"src=vol,dst=/x,U", ""}, {"src=vol,dst=/x,idmap", "only root"}, {"src=vol,dst=/x,rw", "for type=image"},
	// type=tmpfs
	{"type=tmpfs,dst=/x", ""}, {"type=tmpfs,dst=/x,ro", ""}, {"type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=700", ""},
	{"type=tmpfs,dst=/x,notmpcopyup", ""}, {"type=tmpfs,dst=/x,tmpcopyup", "use a volume"}, {"type=tmpfs,dst=/x,U", "no options but its own"},
	{"type=tmpfs,src=a,dst=/x", "no source"},
	// type=image
	{"type=image,src=img,dst=/x", ""}, {"type=image,source=img:tag,destination=/x,rw=true", ""}, {"type=image,src=img,dst=/x,readwrite", ""},
	{"type=image,src=img,dst=/x,ro", ""}, {"type=image,src=img,dst=/x,ro,rw", "one of ro and rw"}, {"type=image,src=img,dst=/x,subpath=a", ""},
	{"type=image,src=img,dst=/x,image-subpath=usr/share", ""}, {"type=image,src=img,dst=/x,subpath=/a", "not a path in"},
	{"type=image,src=img,dst=/x,U", "give one of both"}, {"type=image,src=img,dst=/x,rw,U", ""}, {"type=image,dst=/x", "needs source"},
	{"type=image,src=img", "target is empty"}, {"type=image,src=img,dst=/x,volume-nocopy", "for type=volume"},
	// Others of podman's and Docker's.
	{"type=devpts,dst=/dev/pts", "its own /dev/pts"}, {"type=glob,src=/usr/lib/a*,dst=/x", "each of the files"}, {"type=ramfs,dst=/x", "use type=tmpfs"},
	{"type=artifact,src=a,dst=/x", "no artifacts"}, {"type=npipe,src=a,dst=/x", "not for Linux"}, {"type=cluster,src=a,dst=/x", "cluster"},
	{"type=other,dst=/x", "expected bind, volume, tmpfs or image"},
}

func TestDocumentedMounts(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	dir := filepath.Join(home, "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range documented {
		parse := parseVolume
		if strings.Contains(c.mount, "dst=") || strings.Contains(c.mount, "target=") || strings.HasPrefix(c.mount, "type=") {
			parse = parseMount
		}
		_, err := parse(strings.NewReplacer("=D,", "="+dir+",", "D:", dir+":", "D/..:", home+":").Replace(c.mount))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.mount, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.mount, err, c.want)
		}
	}
}
