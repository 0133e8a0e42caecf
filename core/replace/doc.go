// Package replace writes whole files in one step: a reader, and a power cut, finds the
// file before or after, never in between.
package replace
