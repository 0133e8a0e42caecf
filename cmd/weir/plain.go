package main

import (
	"strconv"
	"strings"
	"unicode"
)

// plain is text that a peer has chosen (a topic, a client id, a user name, what an
// upstream answers) as a terminal may be shown it: what is not printable, which could
// move the cursor, clear the screen or hide a line, is escaped.
func plain(text string) string {
	if !strings.ContainsFunc(text, unprintable) {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
