package strict

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a file.
type Problem struct {
	Line, Column int    // from 1; 0 when the problem is of the whole file
	Width        int    // of what is marked, in characters
	Path         string // such as "bridges[0].out[1].qos"
	Message      string // what is wrong, one line
	Hint         string // what to do about it; may be empty
	Excerpt      string // the line, without secrets
	Warning      bool   // it does not keep the gateway from starting

	syntax  bool
	checked string // the text of the error from which Check made it
}

// Errors is everything that was found in a file, in the order of its lines;
// syntax errors come first, since others may follow from them.
type Errors struct {
	File     string
	Problems []Problem
}

// Error is the text for a terminal, of several lines.
func (e *Errors) Error() string {
	var b strings.Builder
	e.Format(&b, false) // a Builder does not fail
	return strings.TrimSuffix(b.String(), "\n")
}

// Format writes all problems, each with its line and a mark below it.
func (e *Errors) Format(w io.Writer, color bool) error {
	var b bytes.Buffer
	p := painter{on: color}
	for _, q := range e.Problems {
		e.format(&b, p, q)
	}
	fmt.Fprintln(&b, p.bold(e.File+": "+e.summary()))
	_, err := w.Write(b.Bytes())
	return err
}

func (e *Errors) format(b *bytes.Buffer, p painter, q Problem) {
	kind := p.red("error: ")
	if q.Warning {
		kind = p.yellow("warning: ")
	}
	fmt.Fprintf(b, "%s: %s%s\n", p.bold(e.place(q)), kind, q.Message)
	if q.Line > 0 {
		column, excerpt := window(q.Column, q.Excerpt)
		mark := strings.Repeat(" ", max(0, column-1)) + strings.Repeat("^", max(1, min(q.Width, len([]rune(excerpt))-column+1)))
		fmt.Fprintf(b, "%6d | %s\n       | %s\n", q.Line, excerpt, p.red(mark))
	}
	if q.Hint != "" {
		fmt.Fprintf(b, "       = %s\n", q.Hint)
	}
	b.WriteByte('\n')
}

func (e *Errors) place(q Problem) string {
	if q.Line == 0 {
		return e.File
	}
	return fmt.Sprintf("%s:%d:%d", e.File, q.Line, q.Column)
}

// summary is such as "2 errors, 1 warning".
func (e *Errors) summary() string {
	warnings := 0
	for _, q := range e.Problems {
		if q.Warning {
			warnings++
		}
	}
	var parts []string
	if n := len(e.Problems) - warnings; n > 0 {
		parts = append(parts, count(n, "error"))
	}
	if warnings > 0 {
		parts = append(parts, count(warnings, "warning"))
	}
	return strings.Join(parts, ", ")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// sorted orders the problems and drops repetitions: what stands behind an alias
// is read once for each use of it.
func sorted(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if a.syntax != b.syntax {
			return cmp.Compare(btoi(b.syntax), btoi(a.syntax))
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.CompactFunc(ps, func(a, b Problem) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Message == b.Message
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// excerptWidth is how much of a long line is shown.
const excerptWidth = 100

// window cuts a long line to the part around the column.
func window(column int, line string) (int, string) {
	rs := []rune(line)
	column = min(max(column, 1), len(rs)+1)
	if len(rs) <= excerptWidth {
		return column, line
	}
	start := min(max(0, column-1-excerptWidth/2), len(rs)-excerptWidth)
	cut := slices.Clone(rs[start : start+excerptWidth])
	if start > 0 {
		cut[0] = '…'
	}
	if start+excerptWidth < len(rs) {
		cut[excerptWidth-1] = '…'
	}
	return column - start, string(cut)
}

// painter wraps text in terminal colours, or not.
type painter struct{ on bool }

func (p painter) bold(s string) string   { return p.paint("1", s) }
func (p painter) red(s string) string    { return p.paint("1;31", s) }
func (p painter) yellow(s string) string { return p.paint("1;33", s) }

func (p painter) paint(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
