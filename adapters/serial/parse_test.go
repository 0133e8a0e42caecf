package serial

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/adapters"
)

// parsed is what p makes of a frame, by name, with "name unit" where there is one.
func parsed(t testing.TB, p Parse, frame string) (device string, got map[string]any, err error) {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	parser, err := p.parser()
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := parser.parse([]byte(frame), &doc); err != nil {
		return "", nil, err
	}
	values, err := newShaper(p, adapters.Rule{}).shape(nil, &doc)
	if err != nil {
		return "", nil, err
	}
	got = make(map[string]any)
	for _, v := range values {
		got[strings.TrimSpace(v.name+" "+v.unit)] = v.any
	}
	return doc.device, got, nil
}

type values = map[string]any

func TestParse(t *testing.T) {
	tests := map[string]struct {
		parse Parse
		frame string
		want  values // nil: refused
	}{
		"raw":               {Parse{Kind: "raw"}, "\x00\xff", values{"value": "\x00\xff"}},
		"text":              {Parse{}, " ready \t", values{"value": "ready"}},
		"text must be text": {Parse{}, "re\x07dy", nil},
		"text as a number": {
			Parse{Kind: "text", Fields: []Field{{Name: "weight", Type: Number, Unit: "kg"}}},
			"+   12.50",
			values{"weight kg": 12.5},
		},

		"csv, no fields": {Parse{Kind: "csv"}, "21.5, 40,ok,", values{"1": 21.5, "2": 40.0, "3": "ok"}},
		"csv, fields": {
			Parse{Kind: "csv", Fields: []Field{{Name: "temp", Unit: "°C"}, {}, {Name: "on", Type: Bool}, {Name: "n", Type: Int}, {Name: "s", Type: Text}}},
			"-2.5,ignored,on,-7,01",
			values{"temp °C": -2.5, "on": true, "n": int64(-7), "s": "01"},
		},
		"csv, scaled": {
			Parse{Kind: "csv", Fields: []Field{{Name: "a", Scale: 0.5, Offset: -1}, {Name: "b", Type: Int, Scale: 10}, {Name: "c", Offset: 1}}},
			"5,6,7",
			values{"a": 1.5, "b": 60.0, "c": 8.0},
		},
		"csv, a value is missing": {
			Parse{Kind: "csv", Fields: []Field{{Name: "a"}, {Name: "b"}, {Name: "c"}}},
			"1,,N/A",
			values{"a": 1.0},
		},
		"csv, half a line":   {Parse{Kind: "csv", Fields: []Field{{Name: "a"}, {Name: "b"}}}, "1", nil},
		"csv, too many":      {Parse{Kind: "csv", Fields: []Field{{Name: "a"}}}, "1,2", nil},
		"csv, one is harmed": {Parse{Kind: "csv", Fields: []Field{{Name: "a"}, {Name: "b"}}}, "1,2#5", nil},
		"csv, noise":         {Parse{Kind: "csv"}, "1,2\x80", nil},
		"csv, hexadecimal":   {Parse{Kind: "csv", Fields: []Field{{Name: "a"}}}, "0x10", nil},
		"csv, infinite":      {Parse{Kind: "csv", Fields: []Field{{Name: "a"}}}, "1e999", nil},
		"csv, a fraction":    {Parse{Kind: "csv", Fields: []Field{{Name: "a", Type: Int}}}, "1.5", nil},
		"csv, no bool":       {Parse{Kind: "csv", Fields: []Field{{Name: "a", Type: Bool}}}, "maybe", nil},
		"csv, blanks":        {Parse{Kind: "csv", Separator: " "}, "  1   2 ", values{"1": 1.0, "2": 2.0}},
		"csv, semicolons":    {Parse{Kind: "csv", Separator: ";"}, `"a;b";2`, values{"1": "a;b", "2": 2.0}},
		"csv, open quotes":   {Parse{Kind: "csv"}, `"a,2`, nil},

		"json": {
			Parse{Kind: "json"},
			`{"t":21.5,"n":9007199254740993,"in":{"ok":true,"list":[1,"x"]},"none":null}`,
			values{"t": 21.5, "n": int64(9007199254740993), "in.ok": true, "in.list.0": int64(1), "in.list.1": "x"},
		},
		"json, one value": {Parse{Kind: "json"}, `42`, values{"value": int64(42)}},
		"json, fields": {
			Parse{Kind: "json", Fields: []Field{{Name: "temp", From: "in.t", Type: Number, Scale: 0.1}, {Name: "id", Type: Text}}},
			`{"in":{"t":215},"id":1.5,"x":1}`,
			values{"temp": 21.5, "id": "1.5"},
		},
		"json, half of it":    {Parse{Kind: "json"}, `{"t":21.5`, nil},
		"json, two":           {Parse{Kind: "json"}, `{"t":1}{"t":2}`, nil},
		"json, out of range":  {Parse{Kind: "json"}, `1e999`, nil},
		"json, not a number":  {Parse{Kind: "json", Fields: []Field{{Name: "t", Type: Number}}}, `{"t":true}`, nil},
		"json, number as int": {Parse{Kind: "json", Fields: []Field{{Name: "t", Type: Int}}}, `{"t":2.0}`, values{"t": int64(2)}},
		"json, 1 as bool":     {Parse{Kind: "json", Fields: []Field{{Name: "t", Type: Bool}}}, `{"t":1}`, values{"t": true}},

		"kv":             {Parse{Kind: "kv"}, "T=21.5 H:40;p = x", nil},
		"kv, pairs":      {Parse{Kind: "kv"}, "T=21.5, H:40;state=ok", values{"T": 21.5, "H": 40.0, "state": "ok"}},
		"kv, separator":  {Parse{Kind: "kv", Separator: "|"}, "T = 21.5|at=12:30", values{"T": 21.5, "at": "12:30"}},
		"kv, fields":     {Parse{Kind: "kv", Fields: []Field{{Name: "temp", From: "T"}}}, "T=1,H=2", values{"temp": 1.0}},
		"kv, no numbers": {Parse{Kind: "kv", Fields: []Field{{Name: "T"}}}, "T=x", nil},

		"regex": {
			Parse{Kind: "regex", Pattern: `^(?P<state>ST|US),GS,(?P<weight>[+-] *[0-9.]+) *kg$`, Fields: []Field{{Name: "weight", Unit: "kg"}, {Name: "state", Type: Text}}},
			"ST,GS,+   12.5 kg",
			values{"weight kg": 12.5, "state": "ST"},
		},
		"regex, another line":     {Parse{Kind: "regex", Pattern: `^W(?P<w>\d+)$`}, "x", nil},
		"regex, a group is empty": {Parse{Kind: "regex", Pattern: `^(?P<a>\d)?(?P<b>\d)?`}, "1", values{"a": 1.0}},
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
		parse Parse
		want  []string
	}{
		"kind":     {Parse{Kind: "xml"}, []string{`parse kind ("xml") must be`}},
		"pattern":  {Parse{Kind: "regex", Pattern: "("}, []string{"pattern: "}},
		"no group": {Parse{Kind: "regex", Pattern: "(a)"}, []string{"must have a named group"}},
		"sentence": {Parse{Kind: "nmea", Sentences: []string{"rmc"}}, []string{`sentence ("rmc") must be`}},
		"all fields": {
			Parse{Kind: "csv", Fields: []Field{{Name: "a", Type: "float"}, {Name: "a"}, {Name: "b", Scale: math.NaN()}, {}, {}}},
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
	kinds := []Parse{
		{Kind: "raw"},
		{Kind: "text"},
		{Kind: "csv"},
		{Kind: "json"},
		{Kind: "kv"},
		{Kind: "nmea"},
		{Kind: "obis"},
		{Kind: "csv", Separator: ";", Fields: []Field{{Name: "a"}, {Name: "b", Type: Int, Scale: 2}}},
		{Kind: "regex", Pattern: `(?P<state>\w+),.*?(?P<weight>[+-] *[0-9.]+)`},
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var doc document
		for _, p := range kinds {
			parser, err := p.parser()
			if err != nil {
				t.Fatal(err)
			}
			doc.reset()
			if parser.parse(frame, &doc) != nil {
				continue
			}
			shaped, err := newShaper(p, adapters.Rule{}).shape(nil, &doc)
			if err != nil {
				continue
			}
			for _, v := range shaped {
				switch x := v.any.(type) {
				case float64:
					if !finite(x) {
						t.Errorf("%s: %s = %v", p.Kind, v.name, x)
					}
				case int64, bool, string:
				default:
					t.Errorf("%s: %s is a %T", p.Kind, v.name, x)
				}
			}
		}
	})
}
