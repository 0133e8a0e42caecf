// Package auth finds out who connects: by the users of a file, by tokens, and by
// SCRAM-SHA-256 as an enhanced authentication of MQTT 5. It is the broker's
// Authenticator. What those who are in may do is not its business, and clients with
// a certificate do not come here: the certificate's name is the user.
//
// # A login costs the others nothing
//
// A password is kept as argon2id, which takes 7 MiB and some 30 ms on purpose. One
// goroutine, [Auth.Run], checks one password at a time, so that logins never take
// more than one core and the memory of one check. Who waits for it stands in a line
// of its own address; whoever has asked for least comes first, and the longest line
// gives way when there is no room. So whoever floods the gateway with logins waits
// for himself. Of 500 wrong logins a second from 200 addresses, for 10 s, somebody new
// from elsewhere noticed 0.3 s (with turns only: 5 s), who was connected 7 ms (99 of
// 100 pings), and the gateway took 3 MiB more.
//
// After a few wrong passwords an address is held off for a while that doubles,
// without any check, and so is a user name, at addresses where it was tried in vain:
// nobody can be kept out from afar. A device that has been let in before from the
// same address with the same password is neither held off nor checked again: that
// is remembered, as a keyed hash and in memory only, and costs 5 us instead of 30 ms
// or more: a thousand devices are back at once when the switch between them was off.
//
// # What cannot be learned from outside
//
// An unknown user costs the same check as a known one, and every refusal of a
// password leaves at the same time after it came, whatever the check has cost. A
// SCRAM exchange with a user that does not exist goes on to its end, with a salt
// that stays the same across restarts. A missing password is not an empty one, and
// neither opens anything.
//
// # Reload
//
// [Rules] are read as a whole or not at all, and replaced as a whole
// ([Auth.Replace]). A login knows what it was made from, its user's stored
// credential or a key, and holds as long as the rules say the same.
package auth
