package console

import (
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/weir-edge/weir/core"
)

const (
	// maxTraced is how many transactions wait for a slow reader; more are lost.
	maxTraced = 256
	// maxTracers bounds those who read at the same time.
	maxTracers = 8
)

// serveTrace streams the transactions of an adapter's line, a JSON document a
// line, until the reader leaves or the console stops.
func (c *Console) serveTrace(w http.ResponseWriter, r *http.Request) {
	if c.cfg.Trace == nil {
		http.Error(w, "this gateway has no trace", http.StatusNotImplemented)
		return
	}
	defer c.tracers.Add(-1)
	if c.tracers.Add(1) > maxTracers {
		w.Header().Set("Retry-After", "10")
		plainText(w, http.StatusServiceUnavailable, "too many are reading already")
		return
	}
	transactions := make(chan core.Transaction, maxTraced)
	var lost atomic.Uint64
	stop, err := c.cfg.Trace(r.PathValue("adapter"), func(x core.Transaction) {
		select {
		case transactions <- x:
		default:
			lost.Add(1)
		}
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer stop()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := http.NewResponseController(w)
	if out.SetReadDeadline(time.Time{}) != nil || out.Flush() != nil { // the server's would end the request
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case x := <-transactions:
			x.Lost = lost.Swap(0)
			if out.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil || json.NewEncoder(w).Encode(x) != nil || out.Flush() != nil {
				return
			}
		}
	}
}
