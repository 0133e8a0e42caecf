package storage

import (
	"os"
	"path/filepath"
	"sync"
	"time"
)

// room finds out what may be written to the file system of a store. Some limits are
// told by nobody (a qgroup of btrfs is in neither statfs nor quotactl); there, room
// for what the watermark is for is allocated and given back again.
//
// That is done anew after probeEvery, and whenever so much has been taken since,
// by us or by others, that the margin may be used up. It may be called from any
// goroutine.
type room struct {
	mu   sync.Mutex
	at   time.Time // when it was tried last
	free int64     // and what statfs said then
	ok   bool      // and whether there was room
}

const (
	probeFile   = "ROOM"
	probeMargin = 4 << 20
	probeEvery  = 100 * time.Millisecond
)

// of is what may be written to dir.
func (r *room) of(dir string) (int64, error) {
	free, hidden, err := freeBytes(dir)
	if err != nil || free < watermark || !hidden {
		return free, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); !r.ok || now.Sub(r.at) > probeEvery || r.free-free > probeMargin/2 {
		r.at, r.free, r.ok = now, free, canAllocate(dir, watermark+probeMargin)
	}
	if !r.ok {
		return 0, nil
	}
	return free, nil
}

// canAllocate tries it. What it made is gone again when it returns.
func canAllocate(dir string, size int64) bool {
	name := filepath.Join(dir, probeFile)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false
	}
	defer f.Close()
	defer os.Remove(name)
	return allocate(f, size) == nil
}
