package parse

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/adapters"
)

// parsed is what p makes of a frame, by name, with "name unit" where there is one.
func parsed(t testing.TB, p Config, frame string) (device string, got map[string]any, err error) {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	parser, err := p.Parser()
	if err != nil {
		t.Fatal(err)
	}
	var doc Document
	if err := parser.Parse([]byte(frame), &doc); err != nil {
		return "", nil, err
	}
	values, err := NewShaper(p, adapters.Rule{}).Shape(nil, &doc)
	if err != nil {
		return "", nil, err
	}
	got = make(map[string]any)
	for _, v := range values {
		got[strings.TrimSpace(v.Name+" "+v.Unit)] = v.Any
	}
	return doc.Device, got, nil
}

type values = map[string]any

func TestParse(t *testing.T) {
	tests := map[string]struct {
		parse Config
		frame string
		want  values // nil: refused
	}{
		"raw":               {Config{Kind: "raw"}, "\x00\xff", values{"value": "\x00\xff"}},
		"text":              {Config{}, " ready \t", values{"value": "ready"}},
		"text must be text": {Config{}, "re\x07dy", nil},
		"text as a number": {
			Config{Kind: "text", Fields: []Field{{Name: "weight", Type: Number, Unit: "kg"}}},
			"+   12.50",
			values{"weight kg": 12.5},
		},

		"csv, no fields": {Config{Kind: "csv"}, "21.5, 40,ok,", values{"1": 21.5, "2": 40.0, "3": "ok"}},
		"csv, fields": {
			Config{Kind: "csv", Fields: []Field{{Name: "temp", Unit: "°C"}, {}, {Name: "on", Type: Bool}, {Name: "n", Type: Int}, {Name: "s", Type: Text}}},
			"-2.5,ignored,on,-7,01",
			values{"temp °C": -2.5, "on": true, "n": int64(-7), "s": "01"},
		},
		"csv, scaled": {
			Config{Kind: "csv", Fields: []Field{{Name: "a", Scale: 0.5, Offset: -1}, {Name: "b", Type: Int, Scale: 10}, {Name: "c", Offset: 1}}},
			"5,6,7",
			values{"a": 1.5, "b": 60.0, "c": 8.0},
		},
		"csv, a value is missing": {
			Config{Kind: "csv", Fields: []Field{{Name: "a"}, {Name: "b"}, {Name: "c"}}},
			"1,,N/A",
			values{"a": 1.0},
		},
		"csv, half a line":   {Config{Kind: "csv", Fields: []Field{{Name: "a"}, {Name: "b"}}}, "1", nil},
		"csv, too many":      {Config{Kind: "csv", Fields: []Field{{Name: "a"}}}, "1,2", nil},
		"csv, one is harmed": {Config{Kind: "csv", Fields: []Field{{Name: "a"}, {Name: "b"}}}, "1,2#5", nil},
		"csv, noise":         {Config{Kind: "csv"}, "1,2\x80", nil},
		"csv, hexadecimal":   {Config{Kind: "csv", Fields: []Field{{Name: "a"}}}, "0x10", nil},
		"csv, infinite":      {Config{Kind: "csv", Fields: []Field{{Name: "a"}}}, "1e999", nil},
		"csv, a fraction":    {Config{Kind: "csv", Fields: []Field{{Name: "a", Type: Int}}}, "1.5", nil},
		"csv, no bool":       {Config{Kind: "csv", Fields: []Field{{Name: "a", Type: Bool}}}, "maybe", nil},
		"csv, blanks":        {Config{Kind: "csv", Separator: " "}, "  1   2 ", values{"1": 1.0, "2": 2.0}},
		"csv, semicolons":    {Config{Kind: "csv", Separator: ";"}, `"a;b";2`, values{"1": "a;b", "2": 2.0}},
		"csv, open quotes":   {Config{Kind: "csv"}, `"a,2`, nil},

		"json": {
			Config{Kind: "json"},
			`{"t":21.5,"n":9007199254740993,"in":{"ok":true,"list":[1,"x"]},"none":null}`,
			values{"t": 21.5, "n": int64(9007199254740993), "in.ok": true, "in.list.0": int64(1), "in.list.1": "x"},
		},
		"json, one value": {Config{Kind: "json"}, `42`, values{"value": int64(42)}},
		"json, fields": {
			Config{Kind: "json", Fields: []Field{{Name: "temp", From: "in.t", Type: Number, Scale: 0.1}, {Name: "id", Type: Text}}},
			`{"in":{"t":215},"id":1.5,"x":1}`,
			values{"temp": 21.5, "id": "1.5"},
		},
		"json, half of it":    {Config{Kind: "json"}, `{"t":21.5`, nil},
		"json, two":           {Config{Kind: "json"}, `{"t":1}{"t":2}`, nil},
		"json, out of range":  {Config{Kind: "json"}, `1e999`, nil},
		"json, not a number":  {Config{Kind: "json", Fields: []Field{{Name: "t", Type: Number}}}, `{"t":true}`, nil},
		"json, number as int": {Config{Kind: "json", Fields: []Field{{Name: "t", Type: Int}}}, `{"t":2.0}`, values{"t": int64(2)}},
		"json, 1 as bool":     {Config{Kind: "json", Fields: []Field{{Name: "t", Type: Bool}}}, `{"t":1}`, values{"t": true}},

		"kv":             {Config{Kind: "kv"}, "T=21.5 H:40;p = x", nil},
		"kv, pairs":      {Config{Kind: "kv"}, "T=21.5, H:40;state=ok", values{"T": 21.5, "H": 40.0, "state": "ok"}},
		"kv, separator":  {Config{Kind: "kv", Separator: "|"}, "T = 21.5|at=12:30", values{"T": 21.5, "at": "12:30"}},
		"kv, fields":     {Config{Kind: "kv", Fields: []Field{{Name: "temp", From: "T"}}}, "T=1,H=2", values{"temp": 1.0}},
		"kv, no numbers": {Config{Kind: "kv", Fields: []Field{{Name: "T"}}}, "T=x", nil},

		"regex": {
			Config{Kind: "regex", Pattern: `^(?P<state>ST|US),GS,(?P<weight>[+-] *[0-9.]+) *kg$`, Fields: []Field{{Name: "weight", Unit: "kg"}, {Name: "state", Type: Text}}},
			"ST,GS,+   12.5 kg",
			values{"weight kg": 12.5, "state": "ST"},
		},
		"regex, another line":     {Config{Kind: "regex", Pattern: `^W(?P<w>\d+)$`}, "x", nil},
		"regex, a group is empty": {Config{Kind: "regex", Pattern: `^(?P<a>\d)?(?P<b>\d)?`}, "1", values{"a": 1.0}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, got, err := parsed(t, tt.parse, tt.frame)
			if (err != nil) != (tt.want == nil) {
				t.Fatalf("parse = %v, %v; want %v", got, err, tt.want)
			}
			if err == nil {
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("values (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestParseValidate(t *testing.T) {
	tests := map[string]struct {
		parse Config
		want  []string
	}{
		"kind":     {Config{Kind: "xml"}, []string{`parse kind ("xml") must be`}},
		"pattern":  {Config{Kind: "regex", Pattern: "("}, []string{"pattern: "}},
		"no group": {Config{Kind: "regex", Pattern: "(a)"}, []string{"must have a named group"}},
		"sentence": {Config{Kind: "nmea", Sentences: []string{"rmc"}}, []string{`sentence ("rmc") must be`}},
		"all fields": {
			Config{Kind: "csv", Fields: []Field{{Name: "a", Type: "float"}, {Name: "a"}, {Name: "b", Scale: math.NaN()}, {}, {}}},
			[]string{`field a: type ("float") must be`, "field a is there twice", "field b: scale"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.parse.Validate()
			if err == nil {
				t.Fatal("Validate() = nil")
			}
			for _, phrase := range tt.want {
				if !strings.Contains(err.Error(), phrase) {
					t.Errorf("%q lacks %q", err, phrase)
				}
			}
		})
	}
}

// Whatever comes, a parser neither panics nor reports what is no value.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"1,2.5,x", `{"a":[1,{"b":null}],"c":"d"}`, "T=1 H:2", "ST,GS,+ 12.5kg", `"q,1",2`,
		"$GPGGA,232712.000,4404.1237962,N,12118.8472460,W,1,05,5.1,1132.560,M,-20.300,M,,0000*58",
		"GPRMC,225308,A,4527.458,S,16709.165,E,000.0,094.5,060601,024.1,E",
		"WIMWV,045.0,R,10.5,N,A", "IIXDR,C,19.5,C,AIR,P,1.01,B,BARO",
		"/X\r\n\r\n0-0:1.0.0(170102192002W)\r\n1-0:1.8.1(000004.426*kWh)\r\n0-1:24.3.0(0)(0)(0)(1)(0-1:24.2.1)(m3)\r\n(00001.001)\r\n!\r\n",
	} {
		f.Add([]byte(seed))
	}
	kinds := []Config{
		{Kind: "raw"},
		{Kind: "text"},
		{Kind: "csv"},
		{Kind: "json"},
		{Kind: "kv"},
		{Kind: "nmea"},
		{Kind: "obis"},
		{Kind: "sml"},
		{Kind: "binary", Order: CDAB, Fields: []Field{{Name: "a", Type: "uint32"}, {Name: "b", At: 3, Type: "string(3)"}, {Name: "c", At: 1, Type: "bcd16", Scale: 0.1}}},
		{Kind: "csv", Separator: ";", Fields: []Field{{Name: "a"}, {Name: "b", Type: Int, Scale: 2}}},
		{Kind: "regex", Pattern: `(?P<state>\w+),.*?(?P<weight>[+-] *[0-9.]+)`},
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var doc Document
		for _, p := range kinds {
			parser, err := p.Parser()
			if err != nil {
				t.Fatal(err)
			}
			doc.Reset()
			if parser.Parse(frame, &doc) != nil {
				continue
			}
			shaped, err := NewShaper(p, adapters.Rule{}).Shape(nil, &doc)
			if err != nil {
				continue
			}
			for _, v := range shaped {
				switch x := v.Any.(type) {
				case float64:
					if !finite(x) {
						t.Errorf("%s: %s = %v", p.Kind, v.Name, x)
					}
				case int64, uint64, float32, bool, string:
				default:
					t.Errorf("%s: %s is a %T", p.Kind, v.Name, x)
				}
			}
		}
	})
}
