// Package access says what those who are connected may do: which topics they may
// publish to, subscribe to and be sent. It is the broker's Authorizer. Who they are
// is the business of the authentication.
//
// # Rules
//
// [Rules] are an ordered list. A [Rule] says whom it is about (user, group, client
// id, address), what it allows or denies (publish, subscribe), and on which topics,
// as filters. The first rule that fits decides. Where none does the answer is no: a
// gateway that has users or rules lets nobody do what nobody has allowed.
//
// To subscribe and to be sent a message are one permission, asked twice. A filter
// may be subscribed to when something that it matches may be received: then each
// message is asked about by its own topic, live, retained, queued or sent again. So
// "#" is a good filter for everybody, and brings each what is his.
//
// What begins with $ is matched by filters that begin with it only, as everywhere in
// MQTT. So $SYS is closed until a rule names it.
//
// # Identities
//
// %u and %c in a topic stand for the client's user name and client id. A client
// chooses its id, and whoever issues certificates or tokens chooses names; so one that
// would be more than a level of a topic (empty, with a wildcard, a slash or a control
// character, or with $ in front) is not put into one: a rule that allows does not fit
// such a client, and a rule that denies fits it with any name in that place.
//
// # Cost
//
// A client's [Rights] are made when it connects: the rules that are about it, with its
// names filled in, in two lists of filters. A question goes over one of them, level by
// level, without an allocation. Clients about whom the rules say the same share theirs.
package access
