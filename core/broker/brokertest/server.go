package brokertest

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/weir-edge/weir/core/broker"
)

// Server is a broker that runs for the length of a test.
type Server struct {
	*broker.Broker
	Store *Store

	t    testing.TB
	cfg  broker.Config
	stop context.CancelFunc
	done chan error
}

// Start runs a broker over an empty Store until the test ends. Without listeners
// it works in a synctest bubble.
func Start(t testing.TB, cfg broker.Config) *Server {
	t.Helper()
	return StartOn(t, cfg, NewStore())
}

// StartOn runs a broker over a store that may have something in it.
func StartOn(t testing.TB, cfg broker.Config, store *Store) *Server {
	t.Helper()
	s := &Server{Store: store, t: t, cfg: cfg, done: make(chan error, 1)}
	b, err := broker.New(cfg, store)
	if err != nil {
		t.Fatal(err)
	}
	s.Broker = b
	store.Notify(b.Wake)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.done <- b.Run(ctx) }()
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the broker as a signal would. More than once is harmless.
func (s *Server) Stop() {
	s.t.Helper()
	s.stop()
	if err, ok := <-s.done; ok {
		close(s.done)
		if err != nil && !errors.Is(err, context.Canceled) {
			s.t.Errorf("broker: %v", err)
		}
	}
}

// Crash ends the broker and starts another one over what a power cut would have
// left in the store.
func (s *Server) Crash() *Server {
	s.t.Helper()
	after := s.Store.Crash()
	s.Stop()
	return StartOn(s.t, s.cfg, after)
}

// Pipe opens a connection without sending anything on it.
func (s *Server) Pipe() *Client {
	s.t.Helper()
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(far, "test")
	}()
	c := newClient(s.t, near)
	s.t.Cleanup(func() { near.Close(); <-served })
	return c
}
