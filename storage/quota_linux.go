package storage

import (
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// diskQuota is struct if_dqblk of <linux/quota.h>.
type diskQuota struct {
	blocksHard, blocksSoft uint64 // KiB, 0: no limit
	space                  uint64 // bytes in use
	filesHard, filesSoft   uint64 // 0: no limit
	files                  uint64 // in use
	blocksTime, filesTime  uint64
	valid                  uint32
	_                      uint32
}

const (
	getQuota   = 0x800007 // Q_GETQUOTA
	userQuota  = 0
	groupQuota = 1
)

// quotaLeft is how much the user and the group of the process may still write to
// the file system of dir. statfs does not know that, and a page that is written
// beyond the quota is a SIGBUS as on a full disk. ok is false where there is no
// quota, or none that binds us.
func quotaLeft(dir string) (left int64, ok bool) {
	if os.Geteuid() == 0 { // bound by none
		return 0, false
	}
	f, err := os.Open(dir)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	left = math.MaxInt64
	for kind, id := range map[int]int{userQuota: os.Geteuid(), groupQuota: os.Getegid()} {
		var q diskQuota
		_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, f.Fd(), getQuota<<8|uintptr(kind), uintptr(id), uintptr(unsafe.Pointer(&q)), 0, 0)
		if errno == 0 {
			left = min(left, q.left())
		}
	}
	return left, left < math.MaxInt64
}

func (q *diskQuota) left() int64 {
	limit, files := q.blocksHard, q.filesHard
	if limit == 0 {
		limit = q.blocksSoft
	}
	if files == 0 {
		files = q.filesSoft
	}
	switch {
	case files > 0 && q.files+fewFiles > files:
		return 0
	case limit == 0:
		return math.MaxInt64
	default:
		return max(0, int64(limit<<10)-int64(q.space))
	}
}
