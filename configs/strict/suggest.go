package strict

import (
	"slices"
	"strings"
)

// closest is the known word that was most likely meant, "" when none is near.
func closest(word string, known []string) string {
	for _, k := range known {
		if len(word) >= shortestPrefix && strings.HasPrefix(k, strings.ToLower(word)) {
			return k
		}
	}
	best, bestDistance := "", min(max(1, len(word)/3)+1, len(word))
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// shortestPrefix is the beginning that says which word was meant.
const shortestPrefix = 3

// longestCompared bounds the work of distance; keys are shorter.
const longestCompared = 64

// distance counts the edits between a and b: insert, delete, replace, and
// exchange of two neighbours, the commonest slip of all.
func distance(a, b string) int {
	if len(a) > longestCompared || len(b) > longestCompared {
		return longestCompared
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+differ(a[i-1], b[j-1]))
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}

func differ(a, b byte) int {
	if a == b {
		return 0
	}
	return 1
}

// list is such as "a, b or c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// suggestion is the hint for a word that is none of the known ones.
func suggestion(word, noun string, known []string) string {
	if k := closest(word, known); k != "" {
		return "did you mean \"" + k + "\"?"
	}
	known = slices.Sorted(slices.Values(known))
	if len(known) == 0 {
		return "no " + noun + " is known here"
	}
	return "the " + noun + "s known here are " + strings.Join(known, ", ")
}
