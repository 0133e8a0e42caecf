package broker

import (
	"testing"
	"unsafe"
)

// TestMessageSizes: a message that is kept fills the size that the allocator gives
// it, and its topic and payload fit behind it.
func TestMessageSizes(t *testing.T) {
	for name, size := range map[string][2]uintptr{
		"144":  {unsafe.Sizeof(message144{}), 144},
		"192":  {unsafe.Sizeof(message192{}), 192},
		"240":  {unsafe.Sizeof(message240{}), 240},
		"288":  {unsafe.Sizeof(message288{}), 288},
		"352":  {unsafe.Sizeof(message352{}), 352},
		"512":  {unsafe.Sizeof(message512{}), 512},
		"1024": {unsafe.Sizeof(message1024{}), 1024},
	} {
		if unsafe.Sizeof(uintptr(0)) == 8 && size[0] != size[1] {
			t.Errorf("message%s takes %d bytes", name, size[0])
		}
	}
	for n := range 1200 {
		if _, data := allocate(n); len(data) < n {
			t.Fatalf("%d bytes of room for %d", len(data), n)
		}
	}
}
