package files

import (
	"context"
	"os"
	"path"
	"strings"

	"sbx/api"
)

// Root is a directory that files are copied from.
type Root struct {
	Dir    *os.File  // open, O_PATH is enough; it stays the caller's
	Ignore *Patterns // what .dockerignore leaves out; nil: nothing
	Owners bool      // the files keep their owners, as those of a stage; else they become root's
	Shown  string    // for messages: "the context", "stage build"
	Hashes *Hashes   // what is known about the files' content; nil: nothing
}

// Item is one source of a COPY or ADD.
type Item struct {
	From    *Root
	Path    string // as in the Dockerfile, with wildcards
	Literal bool   // Path is a name without wildcards: that of a download
	Unpack  bool   // an archive is unpacked
	Digest  string // stands for the content, as a commit does for a repository; empty: the content does
	// Ready is called before the item is written, and gets what From is about. Only what
	// has a Digest may come as late as that. May be nil.
	Ready  func(context.Context) error
	Inline *Inline // a heredoc, instead of From and Path
}

// Inline is a file whose content is in the Dockerfile.
type Inline struct {
	Name string
	Data []byte
}

// Copy is a COPY or ADD with all variables replaced. For --link, what it is written to
// is an empty directory; nothing else differs.
type Copy struct {
	Items   []Item
	Dest    string
	WorkDir string // absolute
	Chown   string // USER[:GROUP]
	Chmod   string // octal, or as chmod(1) has it
	Parents bool
	Exclude []string
	Epoch   *int64                 // SOURCE_DATE_EPOCH, seconds: no time is later
	NoSetID bool                   // set-id bits are left out: on the host the file would run as the user for anybody
	Note    func(path, why string) // something was left out; may be nil
}

// Check says what is wrong with the flags. Nothing is opened.
func (c *Copy) Check() error {
	if _, err := parseMode(c.Chmod); err != nil {
		return err
	}
	if _, err := parseOwner(c.Chown); err != nil {
		return err
	}
	if _, err := NewPatterns(c.Exclude); err != nil {
		return api.Errorf("copy", "--exclude", "%s", err)
	}
	for i := range c.Items {
		if in := c.Items[i].Inline; in != nil && (in.Name == "" || path.Base(in.Name) == "." || path.Base(in.Name) == "..") {
			return api.Errorf("copy", "<<"+in.Name, "a heredoc needs the name of a file")
		}
	}
	return nil
}

// dest is the destination as a path from the root. A slash at its end, which asks for
// a directory, stays.
func (c *Copy) dest() string {
	d := c.Dest
	if d == "" || d == "." {
		d = "./"
	}
	slash := strings.HasSuffix(d, "/") || strings.HasSuffix(d, "/.") || strings.HasSuffix(d, "/..") || d == ".."
	if !path.IsAbs(d) {
		d = c.WorkDir + "/" + d
	}
	if d = path.Clean("/" + d); slash && d != "/" {
		d += "/"
	}
	return d
}

func (c *Copy) note(path, why string) {
	if c.Note != nil {
		c.Note(path, why)
	}
}
