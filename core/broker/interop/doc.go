// Package interop holds the broker against code that nobody here wrote: a
// specification of 3.1.1 as tests (gomqtt), a client of 5.0 and its codec
// (paho.golang). It has only tests and a module of its own, so that the gateway's
// module does not know these libraries. From the repository:
//
//	go -C core/broker/interop test ./...
//	go -C core/broker/interop test -fuzz FuzzCodecs .
package interop
