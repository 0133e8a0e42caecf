package access

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-edge/weir/core/topic"
)

// maxLine bounds a line: no topic is longer.
const maxLine = topic.MaxBytes + 1024

// ReadMosquitto reads an access control file of Mosquitto:
//
//	topic [read|write|readwrite|deny] FILTER      who has no user name
//	user NAME                                     the topic lines below are about NAME
//	pattern [read|write|readwrite|deny] FILTER    everybody, with %u and %c
//
// There, what is denied comes before what is allowed, wherever it stands, and a
// user's own lines come before the patterns. The rules are in that order. A file
// without a rule is an error: it must not look like one that allows everything.
func ReadMosquitto(path string) ([]Rule, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no regular file", path))
	}
	return ParseMosquitto(filepath.Base(path), f)
}

// ParseMosquitto is ReadMosquitto for what is called name. The error has one for
// every line that is wrong.
func ParseMosquitto(name string, r io.Reader) ([]Rule, error) {
	var (
		p    mosquittoFile
		errs []error
	)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		p.where = fmt.Sprintf("%s:%d", name, n)
		text := lines.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if err := p.line(strings.TrimRight(text, "\r")); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.where, err))
		}
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	rules := p.ordered()
	if len(rules) == 0 && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%s has no rule", name))
	}
	return rules, errors.Join(errs...)
}

// mosquittoFile is what was read so far.
type mosquittoFile struct {
	where string
	user  string

	topics, patterns []Rule
}

func (p *mosquittoFile) line(text string) error {
	text = strings.TrimLeft(text, " \t")
	if text == "" || text[0] == '#' {
		return nil
	}
	word, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimLeft(rest, " ")
	switch word {
	case "user":
		if rest == "" || strings.TrimSpace(rest) != rest {
			return errors.New("user needs a name, without spaces around it")
		}
		p.user = rest
		return nil
	case "topic", "pattern":
		return p.rule(word == "pattern", rest)
	}
	return fmt.Errorf("%q is none of user, topic, pattern", word)
}

func (p *mosquittoFile) rule(pattern bool, rest string) error {
	r := Rule{Where: p.where, Literal: !pattern, Publish: true, Subscribe: true}
	access, filter, two := strings.Cut(rest, " ")
	switch {
	case !two:
		filter = rest
	case access == "read":
		r.Publish = false
	case access == "write":
		r.Subscribe = false
	case access == "deny":
		r.Deny = true
	case access != "readwrite":
		return fmt.Errorf("%q is none of read, write, readwrite, deny", access)
	}
	r.Topics = []string{strings.TrimSpace(filter)}
	if err := r.Check(); err != nil {
		return err
	}
	if pattern {
		p.patterns = append(p.patterns, r)
		return nil
	}
	if r.Anonymous = p.user == ""; !r.Anonymous {
		r.Users = []string{p.user}
	}
	p.topics = append(p.topics, r)
	return nil
}

// ordered puts the rules in the order in which Mosquitto asks them.
func (p *mosquittoFile) ordered() []Rule {
	deniedFirst := func(a, b Rule) int {
		switch {
		case a.Deny == b.Deny:
			return 0
		case a.Deny:
			return -1
		}
		return 1
	}
	slices.SortStableFunc(p.topics, deniedFirst)
	slices.SortStableFunc(p.patterns, deniedFirst)
	return append(p.topics, p.patterns...)
}
