package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestListenerPromise: what an acknowledgement stands for is said for each listener.
// While the disk takes nothing (it is frozen), only what is promised for memory is
// acknowledged; and a kill leaves what was promised to be written.
func TestListenerPromise(t *testing.T) {
	need(t, "mosquitto_sub")
	ports := map[string]int{"memory": freePort(t), "written": freePort(t), "synced": freePort(t)}
	var extra strings.Builder
	for promise, port := range ports {
		fmt.Fprintf(&extra, ", {name: %s, address: \"127.0.0.1:%d\", promise: %s}", promise, port, promise)
	}
	d := newDisk(t, 64<<20)
	g := prepareGateway(t, strings.Replace(strings.Replace(bufferConfig, `"%MQTT%"}`, `"%MQTT%"}`+extra.String(), 1), "%DATA%", d.mount+"/data", 1))
	g.start()
	away(t, g.port, "plant/#")
	answers := func(promise string, n int, within time.Duration) error {
		c := dialRaw(t, ports[promise], "press-"+promise, true)
		defer c.Close()
		if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if _, err := c.Write([]byte{0x32, 13, 0, 7, 'p', 'l', 'a', 'n', 't', '/', 'a', 0, byte(i + 1), promise[0], byte('0' + i)}); err != nil {
				return err
			}
			if _, err := c.in.Peek(4); err != nil {
				return err
			}
			c.packet(t)
		}
		return nil
	}
	for promise := range ports {
		if err := answers(promise, 3, patience); err != nil {
			t.Errorf("%s: %v", promise, err)
		}
	}
	g.kill()
	g.start()
	left := make(map[byte]string)
	for _, k := range peeked(t, g) {
		left[(*k.Payload)[0]] += (*k.Payload)[1:]
	}
	if left['w'] != "012" || left['s'] != "012" || !strings.HasPrefix("012", left['m']) {
		t.Errorf("after a kill %q are left", left)
	}
	d.run("fsfreeze", "-f", d.mount)
	frozen := true
	thaw := func() {
		if frozen {
			frozen = false
			d.run("fsfreeze", "-u", d.mount)
		}
	}
	defer thaw()
	if err := answers("memory", 3, patience); err != nil {
		t.Errorf("memory, while the disk stands still: %v", err)
	}
	if err := answers("synced", 1, time.Second); !isTimeout(err) {
		t.Errorf("synced, while the disk stands still: %v", err)
	}
	thaw()
}

func isTimeout(err error) bool {
	return err != nil && (os.IsTimeout(err) || strings.Contains(err.Error(), unix.ETIMEDOUT.Error()))
}
