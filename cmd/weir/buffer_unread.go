package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// unreadError lists the segments of the store of which something could not be read. All
// else was done.
type unreadError struct {
	Segments []uint64 `json:"unreadable_segments"`
}

func (e *unreadError) Error() string {
	return fmt.Sprintf("what is in %d segments of the store (%s) can not be read, in part at least, and was left out; a start of the gateway salvages what it can: see also `weir buffer verify`",
		len(e.Segments), strings.Trim(fmt.Sprint(e.Segments), "[]"))
}

func (e *unreadError) add(segments ...uint64) {
	for _, n := range segments {
		if !slices.Contains(e.Segments, n) {
			e.Segments = append(e.Segments, n)
		}
	}
}

// after is the error of work that came across e.
func (e *unreadError) after(err error) error {
	if err != nil || len(e.Segments) == 0 {
		return err
	}
	return e
}

// unreadOnly says whether err is that something could not be read; with asJSON the
// segments are printed.
func unreadOnly(err error, w io.Writer, asJSON bool) bool {
	left, ok := errors.AsType[*unreadError](err)
	if ok && asJSON {
		_ = json.NewEncoder(w).Encode(left) // the error is told in any case
	}
	return ok
}
