//go:build !linux

package core

func sinceBoot() int64 { return 0 }
