package serialport

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weir-edge/weir/adapters/serialport/pty"
)

// The line is really set: read back what the system has.
func TestModeReachesTheLine(t *testing.T) {
	tests := map[string]struct {
		cfg   Config
		cflag uint32
		speed uint32
	}{
		"default":       {Config{}, unix.CS8, 9600},
		"19200 7E2":     {Config{Baud: 19200, DataBits: 7, Parity: "E", StopBits: "2"}, unix.CS7 | unix.PARENB | unix.CSTOPB, 19200},
		"odd parity":    {Config{Parity: "odd"}, unix.CS8 | unix.PARENB | unix.PARODD, 9600},
		"uncommon rate": {Config{Baud: 250_000}, unix.CS8, 250_000},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			master, path, err := pty.New()
			if err != nil {
				t.Fatal(err)
			}
			defer master.Close()
			tt.cfg.Device = path
			p, err := Open(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var got *unix.Termios
			if err := p.data.control(func(fd int) (err error) {
				got, err = unix.IoctlGetTermios(fd, unix.TCGETS2)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			const mask = unix.CSIZE | unix.PARENB | unix.PARODD | unix.CSTOPB
			// A pseudo-terminal forces 8 bits and no parity on some kernels.
			if got.Cflag&unix.CSTOPB != tt.cflag&unix.CSTOPB || got.Ospeed != tt.speed {
				t.Errorf("cflag %#o, speed %d; want %#o, %d", got.Cflag&mask, got.Ospeed, tt.cflag, tt.speed)
			}
		})
	}
}
