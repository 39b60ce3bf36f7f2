package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Sizes of files and functions, in lines. What is longer hides something that
// deserves a name.
const (
	longestFile     = 600
	longestFunction = 80
	p90Function     = 45
)

// sources are the Go files of the tree, without what is fetched or generated.
func sources(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"vendor", ".git", "bin", "testdata"}, d.Name()):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestArchSizes(t *testing.T) {
	fset := token.NewFileSet()
	var lengths []int
	for _, path := range sources(t) {
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Error(err)
			continue
		}
		if n := fset.File(file.Pos()).LineCount(); n > longestFile {
			t.Errorf("%s has %d lines, the limit is %d", path, n, longestFile)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			n := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1
			if strings.HasSuffix(path, "_test.go") {
				continue // a table of cases may be long
			}
			lengths = append(lengths, n)
			if n > longestFunction {
				t.Errorf("%s: %s has %d lines, the limit is %d", fset.Position(f.Pos()), f.Name.Name, n, longestFunction)
			}
		}
	}
	if len(lengths) == 0 {
		t.Fatal("no functions found: is this the source tree?")
	}
	slices.Sort(lengths)
	if p90 := lengths[len(lengths)*9/10]; p90 > p90Function {
		t.Errorf("one function in ten has more than %d lines, the limit is %d", p90, p90Function)
	}
}

func TestArchProgramDoesNotImportTests(t *testing.T) {
	fset := token.NewFileSet()
	for _, path := range sources(t) {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../tests/") || strings.HasPrefix(path, "../contrib/") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, imp := range file.Imports {
			if imp.Path.Value == `"testing"` || strings.HasPrefix(imp.Path.Value, `"sbx/tests`) {
				t.Errorf("%s is part of the program and imports %s", path, imp.Path.Value)
			}
		}
	}
}
