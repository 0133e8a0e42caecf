// Package parse reads values from the frames of a serial device and makes of them
// what the configuration asks for:
//
//	frame → values ([Parser]) → named, typed and scaled ([Shaper])
//
// It is pure, as package frame is. A new kind of frame is one more implementation
// of [Parser] and one more line in [Config.Parser].
//
// A wrong value is worse than none: a csv line with too few or too many columns,
// or a field that is not what it should be, condemns the whole frame, and an NMEA
// sentence whose status says that there is no fix has no position.
package parse
