// Package topic knows what a topic name and a topic filter are: which are valid,
// which filter matches which name, who has subscribed to a name ([Tree]) and
// which names a filter asks for ([Retained]). It is pure: no goroutine, no lock,
// no time. A Tree and a Retained have one owner, the broker loop.
//
// # Subscriptions
//
// [Tree] is a trie of filters. Its nodes are rows of a table, named by number,
// and the way from a node to its child is found in one map from (node, level) to
// node, whatever the number of children; level strings are kept once and named by
// number too. Against a map in every node this takes a third of the memory, and
// the collector has little to look at. A match walks over the name once, level by
// level, with the set of nodes that can still match: its cost depends on the
// filters that match a beginning of the name, not on those that don't.
//
// # Retained messages
//
// [Retained] goes the other way, from a filter to many names, and must be able to
// stop and go on in a later turn of the loop while names come and go. So it is no
// trie but a list in order of the bytes, with a hash index beside it for the exact
// name. The names below a prefix stand together in it. Where a name does not match,
// the filter says which is the next that might, and the list goes there by binary
// search; so "+/status" looks at one name in each tree, not at all of them. To go
// on later, only the last name has to be remembered.
package topic
