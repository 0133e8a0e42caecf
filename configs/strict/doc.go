// Package strict reads YAML files that people write by hand.
//
// It does not decode into structs by reflection. The schema is code: [Read]
// hands the root [Map] to a function, which asks it for each key that it knows
// (m.String("address", &v), m.List("devices", …)). From those questions follow
//
//   - what is unknown: a key that nobody asked for is an error, and the
//     suggestion comes from the keys that were asked for;
//   - the effective configuration: a [Tree] with every key asked for and its
//     value after reading, secrets blanked and defaults included (a zero that is
//     not in the file is left out);
//   - the place of each key, so that a check made later, by another package,
//     still gets its line ([Map.Check]).
//
// Nothing stops at the first error. A wrong value is a [Problem] with line,
// column, excerpt and hint, the variable keeps its default, and reading goes on.
// Even a syntax error, behind which YAML has no meaning any more, costs only the
// top-level section in which it stands.
//
// A scalar may hold ${NAME}, which is replaced from the environment; $${ is a
// literal ${. What came from the environment is never shown again, neither in a
// message nor in the tree.
package strict
