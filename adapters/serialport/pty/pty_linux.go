package pty

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// New makes a pseudo-terminal. What is written to master is read from the
// serial line at slavePath, and the other way round. The line is raw: bytes
// pass as they are and nothing is echoed. Deadlines work on master.
//
// The slave side is kept open for as long as master is in use, so that master
// sees no hang-up (EIO) while no client has the line open. Closing master is
// what pulling the plug is to a client of the line.
func New() (master *os.File, slavePath string, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", fmt.Errorf("make a pseudo-terminal: %w", err)
	}
	slave, err := openSlave(master)
	if err != nil {
		master.Close()
		return nil, "", fmt.Errorf("make a pseudo-terminal: %w", err)
	}
	// The cleanup is what keeps slave reachable, and so open.
	runtime.AddCleanup(master, func(s *os.File) { s.Close() }, slave)
	return master, slave.Name(), nil
}

// openSlave unlocks the slave side of master, opens it and makes it raw.
func openSlave(master *os.File) (*os.File, error) {
	var number int
	err := control(master, func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		return nil, err
	}
	path := "/dev/pts/" + strconv.Itoa(number)
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := control(slave, makeRaw); err != nil {
		slave.Close()
		return nil, err
	}
	return slave, nil
}

// makeRaw turns off everything that a terminal does to the bytes.
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD | unix.CLOCAL
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// control calls do with f's descriptor, which stays valid meanwhile. (File.Fd
// would take the descriptor out of non-blocking mode, and with it the deadlines.)
func control(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}
