package console

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-edge/weir/core"
)

// pipes is a network in memory whose connections obey a bubble's clock.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	closed := make(chan struct{})
	return &pipes{conns: make(chan net.Conn), closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error { p.close(); return nil }
func (p *pipes) Addr() net.Addr {
	return &net.UnixAddr{Name: "pipes", Net: "unix"}
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// event is what a listener got, and when.
type event struct {
	name, data string
	at         time.Duration
}

// streams is a console in a bubble, with listeners.
type streams struct {
	client *http.Client
	start  time.Time
	stop   func()
}

func startStreams(t *testing.T, snapshot func(context.Context) (core.Status, error)) *streams {
	t.Helper()
	net := newPipes()
	c := New(Config{Snapshot: snapshot})
	c.listener = net
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	transport := &http.Transport{DialContext: net.dial, DisableKeepAlives: true}
	return &streams{
		client: &http.Client{Transport: transport},
		start:  time.Now(),
		stop:   func() { cancel(); wg.Wait(); transport.CloseIdleConnections() },
	}
}

// listen reads n events, then hangs up.
func (s *streams) listen(t *testing.T, n int) (events []event) {
	t.Helper()
	r, err := s.client.Get("http://weir/api/v1/events")
	if err != nil {
		t.Error(err)
		return nil
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	var e event
	for len(events) < n && lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			e.at = time.Since(s.start)
			events = append(events, e)
		}
	}
	return events
}

func TestEventsComeEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		s := startStreams(t, func(context.Context) (core.Status, error) { made++; return example(), nil })
		got := s.listen(t, 12)
		for i, e := range got {
			if e.name != "status" || e.at != time.Duration(i)*time.Second {
				t.Errorf("event %d is %q at %v", i, e.name, e.at)
			}
		}
		var st core.Status
		if err := json.Unmarshal([]byte(got[0].data), &st); err != nil || st.Gateway != "gw" {
			t.Errorf("event %s: %v", got[0].data, err)
		}
		time.Sleep(time.Minute) // of the bubble's clock: nobody listens
		synctest.Wait()
		if made > 14 {
			t.Errorf("%d snapshots for %d events: nobody listened any more", made, len(got))
		}
		s.stop()
	})
}

func TestListenersShareSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		s := startStreams(t, func(context.Context) (core.Status, error) { made++; return example(), nil })
		var wg sync.WaitGroup
		for range maxListeners {
			wg.Go(func() { s.listen(t, 10) })
		}
		wg.Wait()
		if limit := 10 + 2; made > limit {
			t.Errorf("%d snapshots, want at most %d", made, limit)
		}
		s.stop()
	})
}

func TestListenersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startStreams(t, func(context.Context) (core.Status, error) { return example(), nil })
		var wg sync.WaitGroup
		for range maxListeners {
			wg.Go(func() { s.listen(t, 5) })
		}
		synctest.Wait()
		r, err := s.client.Get("http://weir/api/v1/events")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
			t.Errorf("got %s %s", r.Status, body)
		}
		wg.Wait()
		s.stop()
	})
}

func TestFailureIsAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startStreams(t, func(context.Context) (core.Status, error) { return core.Status{}, errors.New("the loop\nis busy") })
		got := s.listen(t, 1)
		if len(got) != 1 || got[0].name != "failure" || got[0].data != `"the loop\nis busy"` {
			t.Errorf("got %+v", got)
		}
		s.stop()
	})
}

func TestStopEndsTheStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startStreams(t, func(context.Context) (core.Status, error) { return example(), nil })
		var wg sync.WaitGroup
		wg.Go(func() { s.listen(t, 1000) })
		time.Sleep(3 * time.Second)
		before := time.Now()
		s.stop()
		wg.Wait()
		if took := time.Since(before); took > stopTimeout {
			t.Errorf("stopping took %v", took)
		}
	})
}

// TestSlowListener: one who does not read is gone after the write timeout, and
// the others did not notice.
func TestSlowListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startStreams(t, func(context.Context) (core.Status, error) { return example(), nil })
		conn, err := s.client.Transport.(*http.Transport).DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "GET /api/v1/events HTTP/1.1\r\nHost: weir\r\n\r\n")
		got := s.listen(t, 30)
		for i := 1; i < len(got); i++ {
			if gap := got[i].at - got[i-1].at; gap > eventInterval {
				t.Errorf("event %d came after %v", i, gap)
			}
		}
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("the slow one: %v", err)
		}
		s.stop()
	})
}

func TestEventNamesFewClients(t *testing.T) {
	st := core.Status{}
	for i := range 10 * eventClients {
		st.Clients = append(st.Clients, core.ClientStatus{ClientID: fmt.Sprintf("c%04d", i), Queued: uint64(i)})
	}
	data, err := showing(st, nil).event(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got core.Status
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Clients) != eventClients || got.Clients[0].ClientID != "c0999" {
		t.Errorf("%d clients, the first is %+v", len(got.Clients), got.Clients[0])
	}
}
