package storagetest

import (
	"testing"
)

func openMemory(delay bool) func(testing.TB) Opened {
	return func(testing.TB) Opened {
		notify, wake := Waker()
		return opened(NewMemory(Config{Notify: notify, Delay: delay}), wake)
	}
}

func opened(m *Memory, wake <-chan struct{}) Opened {
	return Opened{Store: m, Wake: wake, Close: m.Close, Restart: func(testing.TB) Opened {
		notify, wake := Waker()
		return opened(m.Reopen(notify), wake)
	}}
}

func TestMemory(t *testing.T) {
	t.Run("at once", func(t *testing.T) { Run(t, openMemory(false)) })
	t.Run("delayed", func(t *testing.T) { Run(t, openMemory(true)) })
}

func TestMemoryModel(t *testing.T) {
	t.Run("at once", func(t *testing.T) { RunModel(t, openMemory(false)) })
	t.Run("delayed", func(t *testing.T) { RunModel(t, openMemory(true)) })
}
