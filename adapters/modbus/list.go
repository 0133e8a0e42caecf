package modbus

import (
	"fmt"

	"github.com/weir-edge/weir/adapters"
)

// decodeList reads all that is in a queue: as many values as there are.
func (c *codec) decodeList(b []byte) (any, error) {
	size := 2 * int(c.width())
	if len(b)%size != 0 {
		return nil, fmt.Errorf("the queue has %d registers, which are no whole values", len(b)/2)
	}
	list := []byte{'['}
	for ; len(b) > 0; b = b[size:] {
		value, err := c.decode(b[:size])
		if err != nil {
			return nil, err
		}
		if len(list) > 1 {
			list = append(list, ',')
		}
		if x, _ := asFloat(value); x-x != 0 { // JSON has no word for it
			value = "null"
		}
		list = fmt.Append(list, value)
	}
	return adapters.List(append(list, ']')), nil
}
