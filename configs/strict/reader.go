package strict

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v4"
)

// Env looks up an environment variable, as os.LookupEnv does.
type Env func(name string) (value string, ok bool)

// maxSize bounds a file, and maxVisits the nodes read from it: aliases let a
// small file stand for a very large one.
const (
	maxSize   = 8 << 20
	maxVisits = 1 << 20
)

// Result is what was read.
type Result struct {
	Tree     Tree      // the effective configuration
	Warnings []Problem // when there was no error
}

// Read reads the text of a file. schema asks the root for everything that it
// knows. Without env it knows no variable and reads no file with a secret: the text
// comes from somebody who is not to have them. The error is an [*Errors] with all
// that was found, warnings included.
func Read(file string, data []byte, env Env, schema func(*Map)) (Result, error) {
	r := newReader(file, data, env)
	root := r.rootMap(data)
	schema(root)
	root.close()
	problems := sorted(r.problems)
	for _, p := range problems {
		if !p.Warning {
			return Result{}, &Errors{File: file, Problems: problems}
		}
	}
	return Result{Tree: Tree{root.out}, Warnings: problems}, nil
}

// reader is the state of one Read.
type reader struct {
	src      *source
	env      Env
	problems []Problem
	partial  bool            // a section was left out because of its syntax
	visits   int             // of nodes
	spots    map[string]spot // by path
	called   map[string]*Map // sections by the path above them, a zero byte, and their name
}

// spot is a place in the file.
type spot struct{ line, column, width int }

func newReader(file string, data []byte, env Env) *reader {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	return &reader{src: newSource(file, data), env: env, spots: make(map[string]spot), called: make(map[string]*Map)}
}

// rootMap is the file's mapping, empty where the file has none.
func (r *reader) rootMap(data []byte) *Map {
	root := r.newMap(nil, "", nil)
	if len(data) > maxSize {
		r.add(Problem{Message: fmt.Sprintf("the file is larger than %d MiB", maxSize>>20)})
		return root
	}
	if n := r.compose(); n != nil && !isNull(n) {
		root.fill(n)
	}
	return root
}

// add notes a problem and completes it.
func (r *reader) add(p Problem) {
	p.Excerpt = r.src.excerpt(p.Line)
	p.Width = max(1, p.Width)
	p.Message = printable(p.Message)
	r.problems = append(r.problems, p)
}

// addAt notes a problem of the key or value at path.
func (r *reader) addAt(s spot, path, message, hint string) {
	r.add(Problem{Line: s.line, Column: s.column, Width: s.width, Path: path, Message: message, Hint: hint})
}

// resolve follows an alias. It is nil when the file stands for too much; that is
// said once.
func (r *reader) resolve(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	r.visits++
	if r.visits == maxVisits {
		r.add(Problem{Line: n.Line, Column: n.Column, Message: "the aliases of this file stand for too much", Hint: "use fewer aliases of lists"})
	}
	if r.visits >= maxVisits {
		return nil
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// spotOf marks a node; only a plain scalar on one line is marked to its end.
func (r *reader) spotOf(n *yaml.Node) spot {
	s := spot{n.Line, n.Column, 1}
	if n.Kind != yaml.ScalarNode {
		return s
	}
	width := len([]rune(n.Value))
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		width += 2
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		s.width = max(1, width)
	}
	return s
}
