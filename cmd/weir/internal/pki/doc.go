// Package pki is a small certificate authority in a folder: for the one gateway, and
// for the clients that may come to it.
//
//	ca.pem       the authority, for whoever is to trust the gateway
//	ca.key       its key; needed here only to issue and to revoke
//	server.pem   of the gateway, with all its names and addresses
//	server.key
//	NAME.pem     of a client; the common name is the client's user name
//	NAME.key
//	revoked.pem  the revocation list, empty at first
//	issued.txt   the serial number of each certificate, and its name
//
// A renewed certificate has the key of the one before, so that one file is replaced,
// in one step: whoever reads both files meanwhile has a pair that fits. The one before
// stays valid until its end, so to revoke a name is to revoke all of its certificates.
package pki
