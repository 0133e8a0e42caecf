// Package bridgetest is the world around a bridge, in memory, for tests under
// testing/synctest: a network whose cables can be cut, an upstream broker that
// keeps sessions and has quirks, and a local broker that keeps what is durable and
// can crash.
package bridgetest
