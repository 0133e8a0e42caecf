// Package configs is the format of the configuration file: YAML, read strictly.
//
// [Load] and [Parse] return either a whole [Config], ready to run, or [*Errors]
// with everything that is wrong, each with its line, an excerpt, and what to do
// about it. There is no third case: nothing is half accepted, no value is bent
// into its range, and no key is ignored. A key of the format that this version
// cannot obey yet is refused by name, above all one that asks for safety.
//
// Every key has a default, so an empty file, or none, is a broker on the
// loopback with its store. Durations have units (5s, 7d), sizes too (64MiB),
// ${NAME} is taken from the environment, and a secret may stand in a file of its
// own (password_file). Relative paths are below the folder of the file.
//
// How the text is read is the business of configs/strict; here is what it may
// say. One function reads one section, and asks for its keys in the order in
// which the sample shows them. What only the owner of a section can judge, its
// package's Validate does; the errors of that come out with lines all the same.
package configs
