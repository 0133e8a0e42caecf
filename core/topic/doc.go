// Package topic knows what a topic name and a topic filter are: which are valid,
// which filter matches which name, who has subscribed to a name ([Tree]) and
// which names a filter asks for ([Retained]). It is pure: no goroutine, no lock,
// no time. A Tree and a Retained have one owner, the broker loop.
//
// # Subscriptions
//
// [Tree] is a trie of filters. Its nodes are rows of a table, named by number, and
// the way from a node to its child is found by the hash of (node, level) in one flat
// list, whatever the number of children. Against a map in every node this takes a
// third of the memory, and the collector has little to look at. A match walks over
// the name once, level by level, with the set of nodes that can still match: its
// cost depends on the filters that match a beginning of the name, not on those that
// don't.
//
// What remains of those is the cache. Among 100,000 filters nothing that a match
// looks at is where it was before, and each line costs as much as fifty
// instructions. With Go's maps for the levels and for the ways, a step took eight of
// them, and a publication twice as long at 110,000 subscriptions as at 1,100. It
// takes two now, one in the list and one for the node, which has its level and its
// subscriber, if it is the only one, in it; and 1.05 to 1.27 times as long, the more the
// busier the machine is with other things.
//
// Devices publish to the same topics again and again. So what matched a name that
// has come twice is remembered until the tree changes (see recent): half of the time of
// a match at 1,100 filters, a third at 110,000, and the same for both.
//
// # Retained messages
//
// [Retained] goes the other way, from a filter to many names, and must be able to
// stop and go on in a later turn of the loop while names come and go. So it is no
// trie but a list in order of the bytes, with an index of the same kind beside it
// for the exact name. The names below a prefix stand together in it. Where a name does not match,
// the filter says which is the next that might, and the list goes there by binary
// search; so "+/status" looks at one name in each tree, not at all of them. To go
// on later, only the last name has to be remembered.
package topic
