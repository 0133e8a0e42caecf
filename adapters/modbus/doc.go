// Package modbus polls Modbus devices and sets their points.
package modbus
