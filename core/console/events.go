package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// eventInterval is how often the listeners hear of the state.
	eventInterval = time.Second
	// maxListeners bounds those who listen at the same time.
	maxListeners = 16
)

// hub makes one event an interval for all who listen, and none while nobody does.
type hub struct {
	// static after newHub
	produce func(context.Context) ([]byte, error)
	wake    chan struct{} // 1 slot: somebody listens now

	// guarded by mu
	mu        sync.Mutex
	listeners map[chan message]bool
	last      message // made at most an interval ago; zero while nobody listens
}

// message is what a listener gets: the state, or why there is none.
type message struct{ event, data string }

func newHub(produce func(context.Context) ([]byte, error)) *hub {
	return &hub{produce: produce, wake: make(chan struct{}, 1), listeners: make(map[chan message]bool)}
}

// join adds a listener; ok is false when there are too many. Its channel holds
// the newest message only, and is never closed. Who joins others begins with
// the message that they had last.
func (h *hub) join() (ch chan message, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.listeners) >= maxListeners {
		return nil, false
	}
	ch = make(chan message, 1)
	h.listeners[ch] = true
	if h.last != (message{}) {
		ch <- h.last
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return ch, true
}

func (h *hub) leave(ch chan message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, ch)
}

// run makes the events until ctx ends.
func (h *hub) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
			h.stream(ctx)
		}
	}
}

// stream makes events for as long as somebody listens.
func (h *hub) stream(ctx context.Context) {
	tick := time.NewTicker(eventInterval)
	defer tick.Stop()
	for h.anybody() {
		h.tell(h.next(ctx))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// anybody says whether there are listeners. If not, the last message is old news.
func (h *hub) anybody() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.listeners) == 0 {
		h.last = message{}
	}
	return len(h.listeners) > 0
}

func (h *hub) next(ctx context.Context) message {
	data, err := h.produce(ctx)
	if err != nil {
		text, _ := json.Marshal(err.Error()) // a string always has a form
		return message{event: "failure", data: string(text)}
	}
	return message{event: "status", data: string(data)}
}

func (h *hub) tell(m message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = m
	for ch := range h.listeners {
		replace(ch, m)
	}
}

// replace puts m into the one slot of ch; what a slow listener has not taken is
// out of date. Senders hold mu, so the second send does not block.
func replace(ch chan message, m message) {
	select {
	case <-ch:
	default:
	}
	ch <- m
}

// serveEvents streams to one listener until it leaves or the console stops.
func (c *Console) serveEvents(w http.ResponseWriter, r *http.Request) {
	ch, ok := c.hub.join()
	if !ok {
		w.Header().Set("Retry-After", "10")
		plainText(w, http.StatusServiceUnavailable, "too many are listening already")
		return
	}
	defer c.hub.leave(ch)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	if err := out.SetReadDeadline(time.Time{}); err != nil { // the server's would end the request
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case m := <-ch:
			if err := send(w, out, m); err != nil {
				return
			}
		}
	}
}

// send writes one event; a listener that does not read it in time is gone. The
// id is the gateway's time: ages on the page do not depend on the browser's clock.
func send(w http.ResponseWriter, out *http.ResponseController, m message) error {
	now := time.Now()
	if err := out.SetWriteDeadline(now.Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", now.UnixMilli(), m.event, m.data); err != nil {
		return err
	}
	return out.Flush()
}
