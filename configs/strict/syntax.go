package strict

import (
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxSyntaxErrors bounds how often the rest of a file is read once more.
const maxSyntaxErrors = 10

// compose turns the text into nodes; nil when there is nothing to read. Behind a
// syntax error YAML has no meaning, so the top-level section in which it stands
// is blanked and the rest is read again: errors elsewhere show in the same run.
func (r *reader) compose() *yaml.Node {
	if line, column, what := r.src.invalid(); line > 0 {
		r.add(Problem{Line: line, Column: column, Message: what, Hint: "save the file as UTF-8 text", syntax: true})
		return nil
	}
	blank := make(map[int]bool)
	for range maxSyntaxErrors {
		node, err := load(r.src.without(blank))
		if err == nil {
			return r.single(node)
		}
		if !r.syntaxError(err, blank) {
			return nil
		}
	}
	return nil
}

// load reads the documents of a text; an empty text has none.
func load(text string) ([]*yaml.Node, error) {
	l, err := yaml.NewLoader(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	var docs []*yaml.Node
	for len(docs) < 2 {
		var n yaml.Node
		switch err := l.Load(&n); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, err
		}
		docs = append(docs, &n)
	}
	return docs, nil
}

// single is the content of the only document.
func (r *reader) single(docs []*yaml.Node) *yaml.Node {
	if len(docs) == 0 || len(docs[0].Content) == 0 {
		return nil
	}
	if len(docs) > 1 {
		r.add(Problem{Line: docs[1].Line, Column: 1, Message: "a second document begins here, which would not be read", Hint: "remove the line of three dashes before it", syntax: true})
	}
	return docs[0].Content[0]
}

// syntaxError notes err and blanks the section in which it stands. It reports
// whether that leaves something to read.
func (r *reader) syntaxError(err error, blank map[int]bool) bool {
	le, ok := errors.AsType[*yaml.LoadError](err)
	if !ok || le.Mark.Line == 0 {
		r.add(Problem{Message: "this is not YAML: " + err.Error(), syntax: true})
		return false
	}
	p := explain(le, r.src)
	// An anchor may have been defined in a section that is blank now.
	if !(r.partial && strings.Contains(le.Message, "unknown anchor")) {
		r.add(p)
	}
	r.partial = true
	from, to := r.src.section(p.Line)
	fresh := false
	for i := from; i < to; i++ {
		fresh = fresh || !blank[i]
		blank[i] = true
	}
	return fresh
}

const (
	noKey     = "this line is no \"key: value\""
	noKeyHint = "a key needs a colon and a space, and the same indentation as its neighbours"
)

// explain says in plain words what the YAML library found.
func explain(le *yaml.LoadError, src *source) Problem {
	p := Problem{Line: le.Mark.Line, Column: le.Mark.Column, syntax: true}
	opened := func(message, hint string) {
		p.Line, p.Column = le.ContextMark.Line, le.ContextMark.Column
		p.Message, p.Hint = message, hint
	}
	in, found := le.ContextMsg, le.Message
	switch at := src.at(p.Line, p.Column); {
	case strings.Contains(found, "cannot start any token") && at == '\t':
		p.Message, p.Hint = "a tab stands where the indentation must be", "YAML is indented with spaces only"
	case strings.Contains(found, "cannot start any token"):
		p.Message, p.Hint = "a value cannot begin with "+string(at), "put the value into quotes"
	case strings.Contains(found, "mapping values are not allowed"):
		p.Message, p.Hint = "a colon cannot stand here", "check the indentation of this line, or put a value that holds \": \" into quotes"
	case strings.Contains(in, "flow sequence"):
		opened("the list that begins here is not closed", "each [ needs its ], and a comma stands between the entries")
	case strings.Contains(in, "flow mapping"):
		opened("the section that begins here is not closed", "each { needs its }, and a comma stands between the entries")
	case strings.Contains(in, "quoted scalar") && strings.Contains(found, "end of stream"):
		opened("the quotation that begins here is not closed", "put the same quote at its end")
	case strings.Contains(found, "escape"):
		p.Message, p.Hint = "unknown escape after \\", "between \" write \\\\ for one \\, or use ' instead"
	case strings.Contains(found, "unknown anchor"):
		p.Message, p.Hint = found, "the text after * must be the name of an & before it; a value that begins with * needs quotes"
	case strings.Contains(in, "simple key"):
		opened(noKey, noKeyHint)
	case strings.Contains(in, "block mapping"):
		p.Message, p.Hint = noKey, noKeyHint
	case strings.Contains(in, "block collection"):
		p.Message, p.Hint = "this line is no entry of the list above", "each entry begins with \"- \", indented like its neighbours"
	default:
		p.Message = strings.TrimSpace(in + " " + found)
	}
	return p
}

// at is the character at a place, a space outside of the text.
func (s *source) at(line, column int) rune {
	if line < 1 || line > len(s.lines) {
		return ' '
	}
	rs := []rune(s.lines[line-1])
	if column < 1 || column > len(rs) {
		return ' '
	}
	return rs[column-1]
}
