// Package storagetest checks implementations of the broker's store and has one
// that keeps everything in memory.
//
// [Run] is the conformance suite: whatever satisfies the contract of the
// broker's Store passes it. [RunModel] compares a store with a tiny model under
// random calls, crashes included.
//
// [Memory] is a complete store without a disk, for brokers that run without a
// data directory, and for tests: with [Config.Delay] it settles like a store on
// disk does, and [Memory.Reopen] is a restart.
package storagetest
