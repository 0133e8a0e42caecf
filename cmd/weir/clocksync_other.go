//go:build !linux

package main

// clockKnown trusts the clock where nothing is known about it.
func clockKnown() bool { return true }
