package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestBacklogLimit is F13: a backlog reaches its limit while the upstream is away, and
// drains when it is back. What is refused is not acknowledged, so that nothing that
// was is lost; what is dropped is counted; and the rule goes on as before.
func TestBacklogLimit(t *testing.T) {
	need(t, "mosquitto", "mosquitto_sub")
	for _, onFull := range []string{"refuse", "drop-oldest", "drop-newest"} {
		t.Run("F13 "+onFull, func(t *testing.T) { testBacklogLimit(t, onFull) })
	}
}

func testBacklogLimit(t *testing.T, onFull string) {
	up := startMosquitto(t)
	rec := up.record(t, "site7/#")
	g := startGateway(t, strings.Replace(fmt.Sprintf(oneBridge, up.port), `remote_prefix: "site7/"`,
		fmt.Sprintf(`remote_prefix: "site7/", max_bytes: 100KiB, on_full: %s`, onFull), 1))
	g.connected()
	src := publishNumbered(t, g, "auditor", 1, time.Millisecond, "plant/a", "plant/b")
	src.grown(t, 100)
	stopDry(g, up, rec)
	dropped := func() (n uint64) {
		s := g.status()
		for _, lost := range s.Bridges[0].Rules[0].Dropped {
			n += lost
		}
		return n + s.Broker.Dropped["store-full"]
	}
	// A kill takes back the last drops, as it does the last payments: enough of them
	// have to be on the disk.
	enough := uint64(200)
	if onFull == "refuse" {
		enough = 10
	}
	eventually(t, patience, "the limit", func() bool { return dropped() > enough })
	if r := g.status().Bridges[0].Rules[0]; r.Bytes > 200<<10 {
		t.Errorf("%d bytes are owed", r.Bytes)
	}
	src.end()
	eventually(t, patience, "nothing more to come", func() bool { return !g.online("auditor") })
	counted := int(dropped())
	g.kill()
	g.start()
	up.start()
	g.connected()
	eventually(t, patience, "nothing owed", func() bool { return g.status().Bridges[0].Owed == 0 })
	var v verdict
	eventually(t, patience, "all that was kept", func() bool {
		rec.catchUp()
		v = judge(src.source, rec.tally)
		return v.Lost <= counted && (onFull != "refuse" || v.Lost == 0)
	})
	t.Logf("%d acknowledged, %d of them dropped, %d counted, %d duplicates, %d out of order", v.Acknowledged, v.Lost, counted, v.Duplicates, v.Reversed)
	if v.Reversed > 0 || v.Duplicates > 1000+src.window || onFull != "refuse" && v.Lost == 0 {
		t.Errorf("verdict %+v", v)
	}
	before := g.status().Bridges[0].Rules[0].Messages
	publish(t, g.port, "plant/a", `{"n":0}`)
	eventually(t, patience, "the rule at work", func() bool { return g.status().Bridges[0].Rules[0].Messages == before+1 })
}
