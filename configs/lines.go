package configs

import (
	"fmt"

	"github.com/weir-edge/weir/adapters/modbus"
	"github.com/weir-edge/weir/configs/strict"
)

// lineUsers are the adapters by the serial port or the host that they use. Modbus
// adapters share a line when they agree on its settings; a serial adapter has its
// port for itself.
type lineUsers map[string]lineUser

// lineUser is the first adapter of a line.
type lineUser struct {
	adapter string
	at      int          // line of the file
	url     string       // of a Modbus line, as it is written
	line    *modbus.Line // nil: a serial adapter's port
}

func (u lineUser) String() string { return fmt.Sprintf("adapter %s (line %d)", u.adapter, u.at) }

func (ls lineUsers) modbus(m *strict.Map, a *Adapter) {
	line, err := a.Modbus.Line()
	if err != nil {
		return // which is told already
	}
	other, taken := ls[line.Key()]
	switch {
	case !taken:
		ls[line.Key()] = lineUser{a.Name, m.Line("url"), a.Modbus.URL, &line}
	case other.line == nil:
		m.Problem("url", fmt.Sprintf("url (%s) is the port of %v already", a.Modbus.URL, other), "a serial adapter has its port for itself")
	case *other.line != line:
		m.Problem("url", fmt.Sprintf("url (%s) is the line of %v too, which has other settings (%s)", a.Modbus.URL, other, other.url), "give both the same url, tls and rs485")
	}
}

func (ls lineUsers) serial(m *strict.Map, a *Adapter) {
	port := a.Serial.Port.Device
	if other, taken := ls[port]; taken && port != "" {
		m.Problem("port", fmt.Sprintf("port (%s) is that of %v already", port, other), "a serial adapter has its port for itself")
		return
	}
	ls[port] = lineUser{adapter: a.Name, at: m.Line("port")}
}
