package bridge

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-edge/weir/core/topic"
)

// template makes a topic from another one:
//
//	{topic}     all of it, without the prefix of its side
//	{1}, {2}    its levels
//	{#}         what the # of the filter stands for
//	{gateway}, {bridge}, {client_id}   names
//
// All else is copied. A template replaces the prefix of the side that it is for.
type template []part

// part is a literal or a place.
type part struct {
	text string
	name string // "" is a literal
}

func parseTemplate(s string) (t template, err error) {
	for s != "" {
		text, rest, found := strings.Cut(s, "{")
		if text != "" {
			t = append(t, part{text: text})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New("{ without }")
		}
		if !placeName(name) {
			return nil, fmt.Errorf("{%s} is not known: there are {topic}, {1} to {99}, {#}, {gateway}, {bridge}, {client_id}", name)
		}
		t = append(t, part{name: name})
		s = after
	}
	literal := ""
	for _, p := range t {
		literal += p.text
	}
	if strings.ContainsAny(literal, "+#\x00") {
		return nil, errors.New("a topic has no + and # in it")
	}
	return t, nil
}

func placeName(s string) bool {
	switch s {
	case "topic", "#", "gateway", "bridge", "client_id":
		return true
	}
	n, err := strconv.Atoi(s)
	return err == nil && n >= 1 && n <= 99
}

// fill makes the topic for name, which filter matches. What has no value is empty.
func (t template) fill(c *Config, filter, name string) string {
	var b strings.Builder
	levels := strings.Split(name, "/")
	for _, p := range t {
		switch p.name {
		case "":
			b.WriteString(p.text)
		case "topic":
			b.WriteString(name)
		case "#":
			b.WriteString(strings.Join(levels[min(hashLevel(filter), len(levels)):], "/"))
		case "gateway":
			b.WriteString(c.Gateway)
		case "bridge":
			b.WriteString(c.Name)
		case "client_id":
			b.WriteString(c.ClientID)
		default:
			if n, _ := strconv.Atoi(p.name); n <= len(levels) { // parseTemplate has looked
				b.WriteString(levels[n-1])
			}
		}
	}
	return b.String()
}

// hashLevel is how many levels a filter has before its #.
func hashLevel(filter string) int {
	n := strings.Count(filter, "/") + 1
	if strings.HasSuffix(filter, "#") {
		n--
	}
	return n
}

// template checks one in a configuration.
func (f *faults) template(field, s string) {
	if s == "" {
		return
	}
	t, err := parseTemplate(s)
	if err == nil {
		err = topic.ValidName(t.fill(&Config{Gateway: "g", Name: "b", ClientID: "c"}, "a/#", "a/b"))
	}
	if err != nil {
		f.check(false, field, s, "a template of a topic: "+err.Error())
	}
}
