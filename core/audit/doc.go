// Package audit keeps who did what: a file of its own, beside the log, that is for
// whoever has to answer for the gateway. A line is a JSON document with its time and
// its event:
//
//	start, stop                 of the gateway, with the hash of its configuration
//	login, login refused        of clients and of the console
//	denied                      a publication, a subscription or a will, by the rules
//	reload, reload refused      of the configuration
//	device write                a command to a device
//	clock step, clock           the wall clock was set; whether it is known to be right
//	bridge VERB, replay, …      what was done through the console
//	withheld                    more different events than are told apart
//
// The file is 0600 and bounded: when it has reached half of its size it becomes
// audit.log.1, in the place of the one before. What peers can cause at will is gathered:
// the first of the same is written at once, and how many more there were after ten
// seconds. A text of more than 256 bytes is cut. Of those who are refused from one
// address eight are told apart in that time; "who" says that a line is about the others.
//
// Who notes something never waits for the disk. It is written right behind, so that a
// process that is killed loses nothing but, of a second with more than ten events, what
// was to be written at its end. It is not synced: a power cut may take what the system had
// not written yet. Where the file cannot be written the gateway goes on, the log says so,
// and what is lost is counted in the next line that can be.
package audit
