//go:build !linux

package bridge

import "errors"

// rawWrite leaves everything to the writer.
func rawWrite(uintptr, []byte) (int, error) { return 0, nil }

// rawRead: nothing is carried where there is no epoll.
func rawRead(uintptr, []byte) (int, error) { return 0, nil }

func rawClose(int) {}

func rawDuplicate(int) (int, error) { return 0, errors.ErrUnsupported }
