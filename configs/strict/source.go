package strict

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// source is the text of a file, by lines.
type source struct {
	file  string
	lines []string
}

func newSource(file string, data []byte) *source {
	lines := strings.Split(string(data), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(l, "\r")
	}
	return &source{file: file, lines: lines}
}

// excerpt is a line as it may be shown: without secrets and without control
// characters, column by column in its place up to the first secret.
func (s *source) excerpt(line int) string {
	if line < 1 || line > len(s.lines) {
		return ""
	}
	return printable(hideSecrets(s.lines[line-1]))
}

// Where a secret may stand in a line of any configuration, right or wrong: as
// the value of a key that sounds like one, or as the user part of a URL.
var (
	secretValue = regexp.MustCompile(`(?i)(\b[\w-]*(?:passw|pasw|pwd|secret|token|credential)[\w-]*["']?\s*:\s*)([^\s#][^#]*)`)
	secretFile  = regexp.MustCompile(`(?i)_file["']?\s*:\s*$`)
	userInfo    = regexp.MustCompile(`(://)[^/@\s"']+@`)
)

const hidden = "•••"

// hideSecrets blanks what may be a secret. What follows a secret on the same
// line goes with it: in doubt too much is hidden.
func hideSecrets(line string) string {
	line = userInfo.ReplaceAllString(line, "${1}"+hidden+"@")
	m := secretValue.FindStringSubmatchIndex(line)
	if m == nil || secretFile.MatchString(line[:m[3]]) {
		return line
	}
	return line[:m[3]] + hidden
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// invalid finds the first byte that no YAML text may hold.
func (s *source) invalid() (line, column int, what string) {
	for i, l := range s.lines {
		column := 0
		for _, r := range l {
			column++
			switch {
			case r == utf8.RuneError && !utf8.ValidString(l):
				return i + 1, column, "this is not UTF-8 text"
			case r != '\t' && unicode.IsControl(r):
				return i + 1, column, "a control character stands here"
			}
		}
	}
	return 0, 0, ""
}

// section is the run of lines of the top-level key around a line, from 0, end
// excluded.
func (s *source) section(line int) (from, to int) {
	from = min(max(line-1, 0), len(s.lines)-1)
	for from > 0 && !startsSection(s.lines[from]) {
		from--
	}
	to = min(max(line, 1), len(s.lines))
	for to < len(s.lines) && !startsSection(s.lines[to]) {
		to++
	}
	return from, to
}

// startsSection says whether a top-level key begins on the line.
func startsSection(line string) bool {
	return line != "" && !strings.ContainsAny(line[:1], " \t#-]}")
}

// without is the text with some of its lines empty.
func (s *source) without(blank map[int]bool) string {
	lines := slices.Clone(s.lines)
	for i := range blank {
		lines[i] = ""
	}
	return strings.Join(lines, "\n")
}
