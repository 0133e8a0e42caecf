package serialport

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		cfg  Config
		want []string // one phrase for each fault
	}{
		"defaults":     {Config{Device: "/dev/x"}, nil},
		"everything":   {Config{Device: "/dev/x", Baud: 115200, DataBits: 7, Parity: "Even", StopBits: "2", RS485: RS485{Mode: "auto", DelayAfter: time.Millisecond}}, nil},
		"odd rate":     {Config{Device: "/dev/x", Baud: 12345}, nil},
		"no device":    {Config{}, []string{"device must be set"}},
		"baud":         {Config{Device: "/dev/x", Baud: -1}, []string{"baud (-1) must be"}},
		"1.5 stop":     {Config{Device: "/dev/x", StopBits: "1.5"}, []string{`stop bits ("1.5") must be 1 or 2`}},
		"all at once":  {Config{Baud: 1 << 30, DataBits: 9, Parity: "x", StopBits: "3"}, []string{"device", "baud", "data bits (9)", "parity", "stop bits"}},
		"rs485":        {Config{Device: "/dev/x", RS485: RS485{Mode: "on", DelayBefore: time.Second}}, []string{`rs485 ("on") must be`, "rs485 delay (1s)"}},
		"usb name":     {Config{Device: "usb:0403"}, []string{`device ("usb:0403") must be`}},
		"too few bits": {Config{Device: "/dev/x", DataBits: 4}, []string{"data bits (4) must be 5, 6, 7 or 8"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.cfg.Validate()
			if (err != nil) != (len(tt.want) > 0) {
				t.Fatalf("Validate() = %v", err)
			}
			for _, phrase := range tt.want {
				if !strings.Contains(err.Error(), phrase) {
					t.Errorf("%q lacks %q", err, phrase)
				}
			}
		})
	}
}

func TestCharTime(t *testing.T) {
	tests := map[string]struct {
		cfg  Config
		want time.Duration
	}{
		"9600 8N1":  {Config{}, 1041666 * time.Nanosecond},
		"9600 8E1":  {Config{Parity: "E"}, 1145833 * time.Nanosecond},
		"19200 8N2": {Config{Baud: 19200, StopBits: "2"}, 572916 * time.Nanosecond},
		"300 7E1":   {Config{Baud: 300, DataBits: 7, Parity: "even"}, 33333333 * time.Nanosecond},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.cfg.CharTime(); got != tt.want {
				t.Errorf("CharTime() = %v; want %v", got, tt.want)
			}
		})
	}
}

func TestPermissionHint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tty")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := permissionHint(file); got != "" {
		t.Errorf("hint for a file that no group may use: %q", got)
	}
	if err := errors.Join(os.Chown(file, -1, os.Getgid()), os.Chmod(file, 0o660)); err != nil {
		t.Fatal(err)
	}
	if got := permissionHint(file); !strings.Contains(got, "to the group") {
		t.Errorf("hint = %q", got)
	}
}

func TestBusyErrorSaysWho(t *testing.T) {
	tests := map[string]struct {
		err  BusyError
		want string
	}{
		"known":   {BusyError{Device: "/dev/a", PID: 7, Process: "getty"}, "/dev/a is in use by process 7 (getty)"},
		"us":      {BusyError{Device: "/dev/a", Self: true}, "/dev/a is in use by another adapter of this gateway"},
		"unknown": {BusyError{Device: "/dev/a"}, "/dev/a is in use by another process"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("%q; want %q", got, tt.want)
			}
		})
	}
}
