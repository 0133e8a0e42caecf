package topic

import "strings"

// The wildcards.
const (
	plus = "+"
	hash = "#"
)

// Match says whether a valid filter matches a valid name. The filter is one
// without $share.
func Match(filter, name string) bool {
	if wild(filter) && strings.HasPrefix(name, "$") {
		return false // [MQTT-4.7.2-1]
	}
	for {
		level, filterRest, filterMore := strings.Cut(filter, "/")
		if level == hash {
			return true
		}
		nameLevel, nameRest, nameMore := strings.Cut(name, "/")
		switch {
		case level != plus && level != nameLevel:
			return false
		case !nameMore:
			return !filterMore || filterRest == hash // a/# matches a too
		case !filterMore:
			return false
		}
		filter, name = filterRest, nameRest
	}
}

// wild says whether a filter begins with a wildcard.
func wild(filter string) bool {
	return strings.HasPrefix(filter, plus) || strings.HasPrefix(filter, hash)
}
