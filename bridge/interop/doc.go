// Package interop holds the bridge against an upstream that is a library: nats-server
// with its MQTT and JetStream, in this process. It has only tests and a module of its
// own, so that the gateway's module does not know that library. From the repository:
//
//	go -C bridge/interop test ./...
package interop
