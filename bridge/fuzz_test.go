package bridge_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/bridge"
	"github.com/weir-edge/weir/core"
)

// FuzzUpstream lets an upstream send anything after its CONNACK. Whatever it is,
// the bridge goes on living, and a good upstream gets the message in the end.
func FuzzUpstream(f *testing.F) {
	for _, seed := range []string{
		"", "\x40\x02\x00\x01", "\x50\x02\x00\x01\x70\x02\x00\x01", "\x62\x02\x00\x05", "\xd0\x00",
		"\x30\x05\x00\x03cmdx", "\x32\x09\x00\x03cmd\x00\x07\x00x", "\x34\x09\x00\x03cmd\x00\x07\x00x\x62\x02\x00\x07",
		"\x90\x04\x00\x01\x00\x87", "\xe0\x01\x8e", "\x40\x03\x00\x01\x97", "\x50\x03\x00\x01\x99", "\x20\x03\x00\x00\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(quiet{t}, func(c *bridge.Config) { c.In = []bridge.InRule{{Filter: "cmd", QoS: 2}} })
			bad := true
			w.net.Listen(address, func(c net.Conn) {
				if !bad {
					w.up.Serve(c)
					return
				}
				bad = false
				c.Read(make([]byte, 1024))
				c.Write(append([]byte{0x20, 3, 0, 0, 0}, bytes...))
				c.Read(make([]byte, 1024))
				time.Sleep(time.Second)
				c.Close()
			})
			seq := w.put(core.ExactlyOnce, "a", "x")
			w.start()
			after(5 * time.Minute)
			if w.local.Queues()[0].Owed() > 0 {
				t.Errorf("message %d is still owed", seq)
			}
			w.stop()
			w.net.Close()
		})
	})
}

// FuzzURL: what is accepted can be dialled.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"mqtt://a", "mqtts://[::1]:8883/", "ws://a", "mqtt://u:p@h", "mqtt://:1", "mqtt://a:99999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		c := goodConfig()
		c.URLs = []string{url}
		if c.Validate() != nil {
			return
		}
		w := newWorld(quiet{t}, func(cfg *bridge.Config) { cfg.URLs = c.URLs })
		w.start()
		for len(w.net.Dials()) == 0 {
			time.Sleep(time.Millisecond)
		}
		w.stop()
		host, port, err := net.SplitHostPort(w.net.Dials()[0])
		if err != nil || host == "" {
			t.Fatalf("%q is dialled as %q: %v", url, w.net.Dials()[0], err)
		}
		if _, err := net.LookupPort("tcp", port); err != nil {
			t.Fatalf("%q is dialled at port %q: %v", url, port, err)
		}
	})
}

// FuzzTemplate: whatever is taken as a template makes topics without crashing.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"a/{#}", "{topic}", "{1}/{99}", "{", "}", "{gateway}{bridge}", "a/+"} {
		f.Add(s, "a/b/c")
	}
	f.Fuzz(func(_ *testing.T, template, topic string) {
		c := bridge.Config{Name: "b", ClientID: "c", Out: []bridge.OutRule{{Filter: "#", RemoteTopic: template}}, URLs: []string{"mqtt://a"}}
		if c.Validate() == nil {
			c.Routes(topic)
		}
	})
}
