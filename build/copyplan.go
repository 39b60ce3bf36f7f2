package build

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"

	"sbx/build/files"
	"sbx/build/source"
)

// copyStep is a COPY or an ADD.
type copyStep struct {
	from       *stage   // nil: the context
	sources    []string // patterns, or for ADD URLs
	inline     []files.Inline
	flags      files.Copy // all but Items
	link       bool
	add        bool
	unpack     *bool  // of an ADD; nil: archives of the context
	checksum   string // of an ADD
	keepGitDir *bool

	content string // digest of what is copied, that the key was made of
}

func (p *planner) copyInstruction(c *instructions.CopyCommand) error {
	s := &copyStep{link: c.Link, sources: c.SourcePaths, flags: files.Copy{
		Dest: c.DestPath, Chown: c.Chown, Chmod: c.Chmod, Parents: c.Parents, Exclude: c.ExcludePatterns,
	}}
	if p.cmd.from != nil {
		s.from = p.cmd.from[0]
	}
	for _, src := range c.SourcePaths {
		switch {
		case source.IsGit(src, false): // some of them are HTTP too
			return errors.New("source can't be a git ref for COPY")
		case source.IsHTTP(src):
			return errors.New("source can't be a URL for COPY")
		}
	}
	return p.copyStep(s, c.SourceContents, "COPY", c.String())
}

func (p *planner) addInstruction(c *instructions.AddCommand) error {
	s := &copyStep{
		add: true, link: c.Link, sources: c.SourcePaths, unpack: c.Unpack, checksum: c.Checksum, keepGitDir: c.KeepGitDir,
		flags: files.Copy{Dest: c.DestPath, Chown: c.Chown, Chmod: c.Chmod, Exclude: c.ExcludePatterns},
	}
	if c.Checksum != "" && slices.ContainsFunc(c.SourcePaths, func(src string) bool { return !remote(src) }) {
		return errors.New("checksum requires HTTP(S) or Git sources")
	}
	return p.copyStep(s, c.SourceContents, "ADD", c.String())
}

func (p *planner) copyStep(s *copyStep, inline []instructions.SourceContent, word, code string) error {
	for _, f := range inline {
		s.inline = append(s.inline, files.Inline{Name: f.Path, Data: []byte(f.Data)})
	}
	s.flags.WorkDir = p.config.WorkDir
	if s.flags.WorkDir == "" {
		s.flags.WorkDir = "/"
	}
	if err := s.flags.Check(); err != nil {
		return err
	}
	if s.from == nil {
		p.ignored(s)
	}
	shown, _, err := p.g.words.lex.ProcessWord(code, p.env)
	if err != nil {
		shown = code
	}
	_, rest, _ := strings.Cut(shown, " ")
	p.add(&step{copy: s}, word+" "+rest, s.history(word))
	return nil
}

// history is the step's entry in the history, in the words of BuildKit.
func (s *copyStep) history(word string) string {
	var b strings.Builder
	b.WriteString(word)
	if s.flags.Parents {
		b.WriteString(" --parents")
	}
	if s.flags.Chown != "" {
		b.WriteString(" --chown=" + s.flags.Chown)
	}
	if s.flags.Chmod != "" {
		b.WriteString(" --chmod=" + s.flags.Chmod)
	}
	for _, src := range s.sources {
		b.WriteString(" " + src)
	}
	for _, f := range s.inline {
		b.WriteString(" <<" + f.Name)
	}
	b.WriteString(" " + s.flags.Dest + " # buildkit")
	return b.String()
}

// remote says that a source of an ADD is not in the context.
func remote(src string) bool { return source.IsHTTP(src) || source.IsGit(src, false) }

// ignored warns of sources that .dockerignore leaves out.
func (p *planner) ignored(s *copyStep) {
	if p.g.ignored == nil {
		return
	}
	word := "Copy"
	if s.add {
		word = "Add"
	}
	for _, src := range s.sources {
		if s.add && remote(src) {
			continue
		}
		clean := path.Clean(src)
		if p.g.ignored(clean) {
			p.lint.Run(&linter.RuleCopyIgnoredFile, p.cmd.Location(), linter.RuleCopyIgnoredFile.Format(word, clean))
		}
	}
}
