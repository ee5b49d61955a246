package parley_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestEverythingIsDocumented holds every package to a doc comment, and every
// exported name to one of its own. What is let go once is never caught up.
func TestEverythingIsDocumented(t *testing.T) {
	for dir, files := range sources(t) {
		documented := false
		for _, file := range files {
			parsed := parse(t, file)
			documented = documented || parsed.Doc.Text() != ""
			if parsed.Name.Name != "main" && !ast.IsGenerated(parsed) {
				checkNames(t, file, parsed)
			}
		}
		if !documented {
			t.Errorf("%s: no file has a package comment; write doc.go", dir)
		}
	}
}

// sources maps each folder with Go code to its files, tests left out. Folders
// with a go.mod of their own are other modules.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") || hasModule(path)) {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			dir := filepath.ToSlash(filepath.Dir(path))
			found[dir] = append(found[dir], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func hasModule(dir string) bool {
	matches, _ := filepath.Glob(filepath.Join(dir, "go.mod"))
	return len(matches) > 0
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func checkNames(t *testing.T, file string, parsed *ast.File) {
	t.Helper()
	for _, decl := range parsed.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && ofExportedType(d) && d.Doc.Text() == "" {
				t.Errorf("%s: func %s has no doc comment", file, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				checkSpec(t, file, d, spec)
			}
		}
	}
}

// checkSpec is content with a comment at the group, above the line or behind
// it.
func checkSpec(t *testing.T, file string, d *ast.GenDecl, spec ast.Spec) {
	t.Helper()
	var names []*ast.Ident
	var comments []*ast.CommentGroup
	switch s := spec.(type) {
	case *ast.TypeSpec:
		names, comments = []*ast.Ident{s.Name}, []*ast.CommentGroup{d.Doc, s.Doc, s.Comment}
	case *ast.ValueSpec:
		names, comments = s.Names, []*ast.CommentGroup{d.Doc, s.Doc, s.Comment}
	}
	for _, c := range comments {
		if c.Text() != "" {
			return
		}
	}
	for _, name := range names {
		if name.IsExported() {
			t.Errorf("%s: %s has no doc comment", file, name.Name)
		}
	}
}

// ofExportedType reports whether a function is no method, or one of a type that
// other packages can name.
func ofExportedType(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}
