package parse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// parseJSON reads a document in the device's own order. Names of nested values
// are joined by dots, elements of arrays are numbered from 0; null is no value.
func parseJSON(frame []byte, doc *Document) error {
	if !json.Valid(frame) {
		return errors.New("it is not JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(frame))
	dec.UseNumber()
	return flatten(dec, "", doc)
}

// flatten adds the next value of dec under name. The depth is bounded, as the
// length of the frame is.
func flatten(dec *json.Decoder, name string, doc *Document) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case json.Delim:
		return flattenAll(dec, token, name, doc)
	case json.Number:
		v, ok := jsonNumber(token)
		if !ok {
			return fmt.Errorf("%s is out of range", token)
		}
		doc.add(nameOr(name), v, "")
	case string:
		doc.add(nameOr(name), token, "")
	case bool:
		doc.add(nameOr(name), token, "")
	}
	return nil
}

// flattenAll adds the values of an object or an array up to its end.
func flattenAll(dec *json.Decoder, open json.Delim, name string, doc *Document) error {
	for i := 0; dec.More(); i++ {
		inner := strconv.Itoa(i)
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			inner = key.(string) // in valid JSON a key is a string
		}
		if name != "" {
			inner = name + "." + inner
		}
		if err := flatten(dec, inner, doc); err != nil {
			return err
		}
	}
	_, err := dec.Token() // the end
	return err
}

// jsonNumber keeps whole numbers exact, as far as an int64 goes.
func jsonNumber(n json.Number) (any, bool) {
	if i, err := n.Int64(); err == nil {
		return i, true
	}
	v, err := n.Float64()
	return v, err == nil && !math.IsInf(v, 0)
}

func nameOr(name string) string {
	if name == "" {
		return valueName
	}
	return name
}
