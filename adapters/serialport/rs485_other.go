//go:build !linux

package serialport

import "errors"

func (*conn) kernelRS485(RS485) (restore func(), err error) { return nil, errors.ErrUnsupported }
