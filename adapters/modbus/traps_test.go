package modbus

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What goburrow/modbus v0.1.0 does wrong, each with a test that ours doesn't.

// Its RTU transport takes whatever comes next for the answer: after one time-out
// each answer is the one before.
func TestTrapLateAnswerRTU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []byte
		b, l := scriptedBus(t, rtuURL, nil)
		l.answer = func(request []byte) []byte {
			data := bytes.Repeat(request[3:4], 2*int(request[5]))
			answer := framed(request[0], append([]byte{3, byte(len(data))}, data...)...)
			now := late
			late = nil
			if request[3] == 100 {
				late = answer // comes in the middle of the next request
				return nil
			}
			return append(now, answer...)
		}
		if _, err := b.read(1, holdings, 100, 1, b.timeout); !errors.Is(err, errNoAnswer) {
			t.Fatal(err)
		}
		for _, address := range []uint16{110, 120, 130} {
			data, err := b.read(1, holdings, address, 1, b.timeout)
			if err != nil || data[0] != byte(address) {
				t.Errorf("register %d is %v, %v", address, data, err)
			}
		}
		if b.takeLate() == 0 {
			t.Error("the late answer was not counted")
		}
	})
}

// Its TCP transport keeps the connection after a time-out, and then takes each
// answer for the next request's.
func TestTrapLateAnswerTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []byte
		b, l := scriptedBus(t, tcpURL, nil)
		l.answer = func(request []byte) []byte {
			answer := slices.Concat(request[:4], []byte{0, 5}, request[6:8], []byte{2, request[9], request[9]})
			now := late
			late = nil
			if request[9] == 100 {
				late = answer
				return nil
			}
			return append(now, answer...)
		}
		if _, err := b.read(1, holdings, 100, 1, b.timeout); !errors.Is(err, errNoAnswer) {
			t.Fatal(err)
		}
		for _, address := range []uint16{110, 120, 130} {
			data, err := b.read(1, holdings, address, 1, b.timeout)
			if err != nil || data[0] != byte(address) {
				t.Errorf("register %d is %v, %v", address, data, err)
			}
		}
		if b.takeLate() != 1 {
			t.Error("the late answer was not counted")
		}
	})
}

// It cuts an exception to four bytes when the bytes trickle in, and the fifth
// poisons the next answer.
func TestTrapTricklingException(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := scriptedBus(t, rtuURL, func(request []byte) []byte {
			if request[3] == 0 {
				return framed(1, 0x83, 2)
			}
			return framed(1, 3, 2, 0, 7)
		})
		l.chunk, l.delay = 1, 4*time.Millisecond
		if _, err := b.read(1, holdings, 0, 1, b.timeout); exceptionOf(err) != 2 {
			t.Errorf("error is %v", err)
		}
		if data, err := b.read(1, holdings, 1, 1, b.timeout); err != nil || data[1] != 7 {
			t.Errorf("next answer is % x, %v", data, err)
		}
	})
}

// It takes any other function code for an exception whose code is the first byte.
func TestTrapOtherFunction(t *testing.T) {
	for _, url := range []string{rtuURL, tcpURL} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := scriptedBus(t, url, func(request []byte) []byte {
				if url == tcpURL {
					return slices.Concat(request[:4], []byte{0, 5, 1, 4, 2, 0, 7})
				}
				return framed(1, 4, 2, 0, 7)
			})
			_, err := b.read(1, holdings, 0, 1, b.timeout)
			if err == nil || exceptionOf(err) != 0 || !unreachable(err) {
				t.Errorf("%s: error is %v", url, err)
			}
		})
	}
}

// It checks an answer's length only against the count within it: ask for ten
// registers, get eight.
func TestTrapShortAnswer(t *testing.T) {
	for _, url := range []string{rtuURL, tcpURL} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := scriptedBus(t, url, func(request []byte) []byte {
				pdu := append([]byte{3, 16}, make([]byte, 16)...)
				if url == tcpURL {
					return slices.Concat(request[:4], []byte{0, 19, 1}, pdu)
				}
				return framed(1, pdu...)
			})
			start := time.Now()
			data, err := b.read(1, holdings, 0, 10, b.timeout)
			if !errors.Is(err, errGarbled) || data != nil {
				t.Errorf("%s: data is % x, %v", url, data, err)
			}
			if time.Since(start) > 10*time.Millisecond {
				t.Errorf("%s: waited %v for more", url, time.Since(start))
			}
		})
	}
}

// It keeps no silence before a request.
func TestTrapSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := scriptedBus(t, "rtu:///dev/simulated?baud=9600", func([]byte) []byte { return framed(1, 3, 2, 0, 7) })
		for range 3 {
			before := b.handler.(*rtuHandler).lastByte
			if _, err := b.read(1, holdings, 0, 1, b.timeout); err != nil {
				t.Fatal(err)
			}
			if quiet := b.exchange.sent.Sub(before); !before.IsZero() && quiet < b.wire.quiet {
				t.Errorf("a request after %v of silence, want %v", quiet, b.wire.quiet)
			}
		}
		_ = l
	})
}

// It sleeps 750 µs a character at any speed above 19200 baud, which makes 115200
// as slow as 14 kbaud.
func TestTrapSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := scriptedBus(t, "rtu:///dev/simulated?baud=115200", func([]byte) []byte {
			return framed(1, append([]byte{3, 200}, make([]byte, 200)...)...)
		})
		start := time.Now()
		if _, err := b.read(1, holdings, 0, 100, b.timeout); err != nil {
			t.Fatal(err)
		}
		// 8 + 205 characters of 95 µs
		if took := time.Since(start); took > 21*time.Millisecond {
			t.Errorf("100 registers took %v", took)
		}
	})
}

// Its time-out is that of one read call, so that a slave which trickles holds the
// line for as long as it likes.
func TestTrapTimeoutOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := scriptedBus(t, rtuURL, func([]byte) []byte { return make([]byte, 200) })
		l.chunk, l.delay = 1, 10*time.Millisecond
		start := time.Now()
		if _, err := b.read(1, holdings, 0, 100, b.timeout); err == nil {
			t.Error("zeros are an answer")
		}
		if took := time.Since(start); took > b.timeout+20*time.Millisecond {
			t.Errorf("the request took %v", took)
		}
	})
}

// A silent line costs one time-out, and is no error of the line.
func TestTimeout(t *testing.T) {
	for _, url := range []string{rtuURL, tcpURL} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := scriptedBus(t, url, func([]byte) []byte { return nil })
			start := time.Now()
			_, err := b.read(1, holdings, 0, 1, b.timeout)
			if !errors.Is(err, errNoAnswer) || isLineError(err) || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: error is %v", url, err)
			}
			if took := time.Since(start); took != b.timeout {
				t.Errorf("%s: took %v", url, took)
			}
		})
	}
}
