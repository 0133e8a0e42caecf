// Package brokertest helps to test the broker and what stands on it: a [Store]
// in memory whose commits a test can hold back, fail or lose in a crash, a
// scripted MQTT [Client], and [Start], which runs a broker for the length of a test.
//
// Everything runs over net.Pipe and so works inside a testing/synctest bubble.
package brokertest
