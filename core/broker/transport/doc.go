// Package transport is what may stand between a socket and MQTT: the header of a
// proxy, TLS, WebSocket, in this order. Each takes a net.Conn and gives another one
// that carries the bytes of MQTT, or an error that says why not. None of them knows
// the broker.
//
// All of it happens before anybody is known, so each step has a bound of its own on
// what it reads: a proxy header of 107 bytes (version 1) or 2 KiB (version 2), a TLS
// handshake (crypto/tls bounds its messages), an HTTP request of 16 KiB. How long
// all steps may take together is the caller's business: it closes the connection.
package transport
