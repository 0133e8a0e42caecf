package modbus

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/goburrow/modbus"

	"github.com/weir-edge/weir/adapters/serialport"
)

// What may become of a request, by what is to be done next: an exception (a
// *modbus.ModbusError) is an answer; after noAnswer and garbled the line is as
// good as before, and the device is asked again later; after a lineError the
// line is closed and opened again.
var (
	errNoAnswer = errors.New("no answer")
	// errGarbled: something came that is no valid answer.
	errGarbled = errors.New("invalid answer")
	// errIgnored: the device answers others, but not this.
	errIgnored = errors.New("the device does not answer when it is asked for this")
	// errOutOfStep: the device refused something, but it may have been an earlier
	// request. It is alive.
	errOutOfStep = errors.New("the device refused this or an earlier request")
)

// lineError says that the line itself failed.
type lineError struct{ cause error }

func (e *lineError) Error() string { return plain(e.cause) }
func (e *lineError) Unwrap() error { return e.cause }

func isLineError(err error) bool {
	_, ok := errors.AsType[*lineError](err)
	return ok
}

// plain tells an error of the network in words that need no knowledge of Go.
func plain(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens there"
	case errors.Is(err, os.ErrNotExist):
		return "the serial device is not there: " + err.Error()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "the host does not answer"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the host has closed the connection"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("the host name %s is unknown", dns.Name)
	}
	return err.Error()
}

// isTimeout says whether a read ended because its deadline was over.
func isTimeout(err error) bool {
	return errors.Is(err, serialport.ErrTimeout) || errors.Is(err, os.ErrDeadlineExceeded)
}

// The exceptions that the standard calls by number only.
const (
	exceptionIllegalFunction = modbus.ExceptionCodeIllegalFunction
	exceptionIllegalAddress  = modbus.ExceptionCodeIllegalDataAddress
	exceptionIllegalValue    = modbus.ExceptionCodeIllegalDataValue
)

// exceptionOf is the code of the exception that err is, 0 for none.
func exceptionOf(err error) byte {
	if e, ok := errors.AsType[*modbus.ModbusError](err); ok {
		return e.ExceptionCode
	}
	return 0
}

// exceptionTexts say what the exceptions mean to somebody who polls.
var exceptionTexts = map[byte]string{
	modbus.ExceptionCodeIllegalFunction:                    "the device does not know this function",
	modbus.ExceptionCodeIllegalDataAddress:                 "the device has no such register",
	modbus.ExceptionCodeIllegalDataValue:                   "the device refuses this value or quantity",
	modbus.ExceptionCodeServerDeviceFailure:                "the device reports a failure of its own",
	modbus.ExceptionCodeAcknowledge:                        "the device needs longer to carry this out",
	modbus.ExceptionCodeServerDeviceBusy:                   "the device is busy",
	modbus.ExceptionCodeMemoryParityError:                  "the device reports a memory error",
	modbus.ExceptionCodeGatewayPathUnavailable:             "the gateway has no path to the device",
	modbus.ExceptionCodeGatewayTargetDeviceFailedToRespond: "the device behind the gateway does not answer",
}

// explain says in plain words what became of a request.
func explain(err error) string {
	code := exceptionOf(err)
	if code == 0 {
		return err.Error()
	}
	text, known := exceptionTexts[code]
	if !known {
		text = "the device answered with an exception"
	}
	return fmt.Sprintf("%s (exception %d)", text, code)
}

// unreachable says whether err means that the device itself didn't take part:
// no or no valid answer, or a gateway that says so.
func unreachable(err error) bool {
	if errors.Is(err, errOutOfStep) {
		return false
	}
	switch exceptionOf(err) {
	case 0:
		return err != nil
	case modbus.ExceptionCodeGatewayPathUnavailable, modbus.ExceptionCodeGatewayTargetDeviceFailedToRespond:
		return true
	}
	return false
}

// errorKind is the label under which err is counted.
func errorKind(err error) string {
	if code := exceptionOf(err); code != 0 {
		return fmt.Sprintf("exception-%d", code)
	}
	switch {
	case errors.Is(err, errOutOfStep):
		return "out-of-step"
	case errors.Is(err, errNoAnswer):
		return "timeout"
	case errors.Is(err, errGarbled):
		return "garbled"
	}
	return "line"
}
