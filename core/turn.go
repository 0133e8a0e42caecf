package core

import "time"

// Turn is what the owner of a connection does when something may have happened to
// it: there is input, there is room to write again, or neither. Turns never overlap,
// and do not wait.
type Turn func(in, out bool) NextTurn

// NextTurn says when there must be a turn even though nothing happens.
type NextTurn struct {
	At    time.Time // at the latest
	Write bool      // as soon as there is room to write
	More  bool      // after the others had theirs: there may be more input
	Deaf  bool      // input alone is no reason: the next turn will look for it
	Last  bool      // never: the connection has ended
}
