package files

import (
	"strings"
	"testing"
)

// sources is what most cases copy from.
const sources = "a=A b.txt=B c.txt=C exec=X@755 set=S@4755 deep/x/y/z=Z deep/x/w=W dir/@700 dir/f=F dir/g=G@600 dir/sub/h=H " +
	"link->a dirlink->dir abs->/dir/f up->../../../a out->/etc/passwd dangling->nowhere loop->loop pipe|@640 " +
	"dir/inner->../a lists/dev.md=1 lists/prod.md=2 lists/readme=3 [x]=odd empty/"

// base is what most cases copy to.
const base = "old=O full/@750%5:6 full/f=old full/sub/@711%7:8 todir->/full tofile->old tonew->made/new " +
	"etc/passwd=root:x:0:0:root:/root:/bin/sh^app:x:1000:1001::/:^ etc/group=staff:x:50:^"

// What BuildKit makes of the words.
func TestCopy(t *testing.T) {
	for _, c := range []struct {
		from, to   string // the sources, cut at spaces
		workdir    string
		chown      string
		chmod      string
		exclude    string
		parents    bool
		owners     bool
		ignore     string
		want       string // words that there must be
		not        string // beginnings of words that there must not be
		fails      string
		root, into string // other trees
	}{
		{from: "a", to: "/new", want: "new=A"},
		{from: "/a", to: "/new", want: "new=A"},
		{from: "../../a", to: "/new", want: "new=A"},
		{from: "./a", to: "/new/", want: "new/ new/a=A"},
		{from: "a", to: "/one/two/three", want: "one/ one/two/ one/two/three=A"},
		{from: "a", to: "/one/two/", want: "one/two/a=A"},
		{from: "a", to: "rel", workdir: "/w/d", want: "w/d/rel=A"},
		{from: "a", to: ".", workdir: "/w/d", want: "w/d/a=A"},
		{from: "a", to: "./", workdir: "/w/d", want: "w/d/a=A"},
		{from: "a", to: "", workdir: "/w", want: "w/a=A"},
		{from: "a", to: "..", workdir: "/w/d", want: "w/a=A"},
		{from: "a", to: "../..", workdir: "/w", want: "a=A"},
		{from: "a", to: "/old", want: "old=A"},
		{from: "a", to: "/full", want: "full/a=A full/@750%5:6"},
		{from: "a", to: "/todir", want: "full/a=A"},
		{from: "a", to: "/todir/", want: "full/a=A"},
		{from: "a", to: "/tofile", want: "old=A tofile->old"},
		{from: "a", to: "/tonew", want: "made/new=A tonew->made/new"},
		{from: "a", to: "/old/", fails: "no directory"},
		{from: "a", to: "/old/x", fails: "not a directory"},
		{from: "dir/f", to: "/full", want: "full/f=F"},
		{from: "exec set", to: "/b/", want: "b/exec=X@755 b/set=S@4755"},
		{from: "a b.txt", to: "/b", fails: "several files would get this name"},
		{from: "a b.txt", to: "/full", want: "full/a=A full/b.txt=B"},
		{from: "dir empty", to: "/b", want: "b/f=F"},
		{from: "dir", to: "/new", want: "new/ new/f=F new/g=G@600 new/sub/h=H new/inner->../a"},
		{from: "dir/", to: "/new/", want: "new/ new/f=F"},
		{from: "dir/.", to: "/new", want: "new/f=F"},
		{from: "dir", to: "/full", want: "full/@750%5:6 full/f=F full/sub/ full/sub/h=H"},
		{from: "dir", to: "/old", fails: "no directory"},
		{from: "dir", to: "/", want: "f=F sub/h=H"},
		{from: "empty", to: "/new", want: "new/"},
		{from: ".", to: "/new", want: "new/a=A new/dir/@700 new/pipe|@640 new/loop->loop new/out->/etc/passwd new/set=S@4755"},
		{from: "*.txt", to: "/b/", want: "b/b.txt=B b/c.txt=C", not: "b/a"},
		{from: "?", to: "/b/", want: "b/a=A"},
		{from: "[[]x]", to: "/b/", want: "b/[x]=odd"},
		{from: "d*/f", to: "/b/", want: "b/f=F"},
		{from: "dirlin*/f", to: "/b/", not: "b/f"},
		{from: "dirlink/*", to: "/b/", want: "b/f=F b/h=H"},
		{from: "nomatch* a", to: "/b/", want: "b/a=A"},
		{from: "nomatch*", to: "/b/", not: "b"},
		{from: "nodir/*.x", to: "/b/", not: "b"},
		{from: "[", to: "/b/", fails: "bad pattern"},
		{from: "nothing", to: "/b/", fails: "copy /nothing: not found in the context"},
		{from: "a/b", to: "/b/", fails: "not found"},
		{from: "link", to: "/b/", want: "b/link=A"},
		{from: "lin*", to: "/b/", want: "b/link=A"},
		{from: "dirlink", to: "/b/", want: "b/f=F"},
		{from: "abs", to: "/b", want: "b=F"},
		{from: "up", to: "/b", want: "b=A"},
		{from: "out", to: "/b", fails: "not found in the context"},
		{from: "dangling", to: "/b", fails: "not found"},
		{from: "loop", to: "/b", fails: "too many"},
		{from: "pipe", to: "/b", want: "b|@640"},

		{from: "a", to: "/n/x", chown: "1:2", want: "n/%1:2 n/x=A%1:2"},
		{from: "a", to: "/n/x", chown: "9", want: "n/x=A%9:9"},
		{from: "a", to: "/n/x", chown: "app", want: "n/x=A%1000:1001"},
		{from: "a", to: "/n/x", chown: "app:staff", want: "n/x=A%1000:50"},
		{from: "a", to: "/n/x", chown: ":staff", want: "n/x=A%0:50"},
		{from: "dir", to: "/full", chown: "3:4", want: "full/@750%5:6 full/f=F%3:4 full/sub/%3:4 full/inner->../a%3:4"},
		{from: "a", to: "/x", chown: "nobody", fails: "no such user"},
		{from: "a", to: "/x", chown: "app:nogroup", fails: "no such group"},
		{from: "a", to: "/x", chown: "4294967295", fails: "no user or group id"},
		{from: "a", to: "/x", chown: "4294967294", fails: "in your range of ids"},
		{from: "a", to: "/x", chown: "a:b:c", fails: "want USER[:GROUP]"},
		{from: "a", to: "/x", chown: "app", into: "etc/passwd->/proc/self/environ", fails: "no such user"},
		{from: "a", to: "/x", chown: "app", into: "etc/passwd|", fails: "not a regular file"},
		{from: "own", to: "/x", root: "own=A%11:12", owners: true, want: "x=A%11:12"},
		{from: "own", to: "/x", root: "own=A%11:12", want: "x=A"},

		{from: "a", to: "/n/x", chmod: "640", want: "n/@640 n/x=A@640"},
		{from: "a", to: "/n/x", chmod: "4755", want: "n/ n/x=A@4755"},
		{from: "a", to: "/x", chmod: "0", want: "x=A@0"},
		{from: "dir", to: "/x", chmod: "u=rwX,go=rX", want: "x/ x/f=F x/sub/"},
		{from: "exec", to: "/x", chmod: "a-x", want: "x=X"},
		{from: "exec", to: "/x", chmod: "g=u,o=", want: "x=X@770"},
		{from: "a", to: "/x", chmod: "u+s,+t,g+w", want: "x=A@5664"},
		{from: "a", to: "/x", chmod: "64a", fails: "invalid chmod parameter: '64a'. it should be octal string and between 0 and 07777"},
		{from: "a", to: "/x", chmod: "10000", fails: "invalid chmod parameter: '10000'"},
		{from: "a", to: "/x", chmod: "u=q", fails: "invalid mode"},

		{from: "lists", to: "/x", exclude: "*.md", want: "x/readme=3", not: "x/dev x/prod"},
		{from: "lists/*", to: "/x/", exclude: "*.md", want: "x/readme=3", not: "x/dev x/prod"},
		{from: ".", to: "/x", exclude: "**/*.md !lists/dev.md", want: "x/lists/dev.md=1 x/lists/readme=3", not: "x/lists/prod"},
		{from: ".", to: "/x", exclude: "dir deep/x/y", want: "x/deep/x/w=W", not: "x/dir/ x/deep/x/y"},
		{from: ".", to: "/x", exclude: "*", want: "x/", not: "x/a"},
		{from: "dir", to: "/x", exclude: "[", fails: "--exclude"},

		{from: "deep/x/w", to: "/o/", parents: true, want: "o/deep/x/w=W", not: "o/deep/x/y"},
		{from: "deep/./x/w", to: "/o/", parents: true, want: "o/x/w=W", not: "o/deep o/x/y"},
		{from: "deep/x", to: "/o", parents: true, want: "o/deep/x/w=W o/deep/x/y/z=Z"},
		{from: "dir/sub", to: "/o", parents: true, want: "o/dir/@700 o/dir/sub/h=H", not: "o/dir/f"},
		{from: "**/*.md", to: "/o", parents: true, want: "o/lists/dev.md=1 o/lists/prod.md=2", not: "o/dir o/deep"},
		{from: "lists/./*.md", to: "/o", parents: true, want: "o/dev.md=1", not: "o/lists"},
		{from: "l*s/./*.md", to: "/o", parents: true, want: "o/dev.md=1"},
		{from: "dirlink/./f", to: "/o", parents: true, want: "o/f=F"},
		{from: "dir/no", to: "/o", parents: true, fails: "copy /dir/no: not found"},
		{from: "dir/no*", to: "/o", parents: true, not: "o/dir"},
		{from: "dir/./sub", to: "/full", parents: true, want: "full/sub/ full/sub/h=H"},
		{from: "dir/sub/h", to: "/", parents: true, root: "dir/@700 dir/sub/h=H", into: "dir/@711%5:5", want: "dir/@711%5:5 dir/sub/h=H"},

		{from: ".", to: "/x", ignore: "dir *.txt", want: "x/a=A", not: "x/dir/ x/b.txt"},
		{from: "dir", to: "/x", ignore: "dir", fails: "left out of the context by .dockerignore"},
		{from: "dir/f", to: "/x", ignore: "dir", fails: ".dockerignore"},
		{from: "dirlink/f", to: "/x", ignore: "dir", fails: ".dockerignore"},
		{from: "link", to: "/x", ignore: "a", fails: ".dockerignore"},
		{from: "link", to: "/x", ignore: "link", fails: ".dockerignore"},
		{from: "*.txt", to: "/x/", ignore: "b.txt", want: "x/c.txt=C", not: "x/b"},
		{from: ".", to: "/x", ignore: "* !dir/sub", want: "x/dir/@700 x/dir/sub/h=H", not: "x/a x/dir/f"},
		{from: "dir", to: "/x", ignore: "dir !dir/f", want: "x/f=F", not: "x/g x/sub"},
		{from: "dir", to: "/x", ignore: "dir !deep/x", fails: ".dockerignore"},
		{from: "dir/f", to: "/x", ignore: "dir !dir/g", fails: ".dockerignore"},
		{from: "d?r dee*", to: "/x", ignore: "dir !deep/x", want: "x/x/w=W", not: "x/f"},
		{from: "dir/f", to: "/x", parents: true, ignore: "dir !dir/g", fails: ".dockerignore"},
		{from: "dir/g", to: "/x", parents: true, ignore: "dir !dir/g", want: "x/dir/@700 x/dir/g=G@600", not: "x/dir/f"},
		{from: "dir", to: "/x", parents: true, ignore: "dir !dir/g", want: "x/dir/@700 x/dir/g=G@600", not: "x/dir/f"},
		{from: ".", to: "/x", ignore: "**/f **/x !**/w", want: "x/dir/g=G@600 x/deep/x/w=W", not: "x/dir/f x/deep/x/y"},
		{from: "d*/*", to: "/x/", ignore: "dir/g", want: "x/f=F", not: "x/g"},
		{from: "dir/../a", to: "/x", want: "x=A"},
	} {
		name := c.from + " to " + c.to + " " + c.chown + c.chmod + c.exclude + c.ignore
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			from, to := top+"/from", top+"/to"
			if c.root == "" {
				c.root = sources
			}
			if c.into == "" {
				c.into = base
			}
			plant(t, from, c.root)
			plant(t, to, c.into)
			root := &Root{Dir: dirOf(t, from), Owners: c.owners, Shown: "the context"}
			var err error
			if root.Ignore, err = NewPatterns(strings.Fields(c.ignore)); err != nil {
				t.Fatal(err)
			}
			cp := &Copy{Dest: c.to, WorkDir: "/" + c.workdir, Chown: c.chown, Chmod: c.chmod, Parents: c.parents, Exclude: strings.Fields(c.exclude)}
			for _, p := range strings.Fields(c.from) {
				cp.Items = append(cp.Items, Item{From: root, Path: p})
			}
			err = cp.Check()
			var digest string
			if err == nil {
				digest, err = cp.Digest(t.Context())
			}
			if err == nil {
				err = cp.Write(t.Context(), Target{Root: dirOf(t, to)}, nil)
			}
			got := " " + tree(t, to) + " "
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v, want one with %q;%s", err, c.fails, got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for w := range strings.FieldsSeq(c.want) {
				if !strings.Contains(got, " "+w+" ") {
					t.Errorf("no %s in%s", w, got)
				}
			}
			for w := range strings.FieldsSeq(c.not) {
				if strings.Contains(got, " "+w) {
					t.Errorf("%s in%s", w, got)
				}
			}
			if now, err := cp.Digest(t.Context()); err != nil || now != digest || len(digest) != 64 {
				t.Errorf("digest %q before, %q behind: %v", digest, now, err)
			}
		})
	}
}
