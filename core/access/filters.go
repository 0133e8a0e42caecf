package access

import "strings"

// overlap says whether there is a topic that both filters match.
func overlap(a, b string) bool {
	if wild(a) && rooted(b) || wild(b) && rooted(a) {
		return false // [MQTT-4.7.2-1]
	}
	for {
		la, ra, moreA := strings.Cut(a, "/")
		lb, rb, moreB := strings.Cut(b, "/")
		switch {
		case la == "#" || lb == "#":
			return true
		case la != lb && la != "+" && lb != "+":
			return false
		case !moreA && !moreB:
			return true
		case !moreA:
			return rb == "#" // a/# matches a too
		case !moreB:
			return ra == "#"
		}
		a, b = ra, rb
	}
}

// covers says whether every topic that inner matches is matched by outer.
func covers(outer, inner string) bool {
	if wild(outer) && rooted(inner) {
		return false
	}
	for {
		lo, ro, moreO := strings.Cut(outer, "/")
		li, ri, moreI := strings.Cut(inner, "/")
		switch {
		case lo == "#":
			return true
		case li == "#", lo != "+" && lo != li:
			return false
		case !moreO && !moreI:
			return true
		case !moreI:
			return ro == "#"
		case !moreO:
			return false
		}
		outer, inner = ro, ri
	}
}

// wild says whether a filter begins with a wildcard, rooted whether with $.
func wild(filter string) bool   { return filter[0] == '+' || filter[0] == '#' }
func rooted(filter string) bool { return filter[0] == '$' }
