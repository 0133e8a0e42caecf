package parse

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weir-edge/weir/adapters/serial/frame"
	"github.com/weir-edge/weir/adapters/serial/serialtest"
)

func TestNMEA(t *testing.T) {
	tests := map[string]struct {
		sentence string
		device   string
		want     values // nil: refused
	}{
		"GGA": {
			"$GPGGA,232712.000,4404.1237962,N,12118.8472460,W,1,05,5.1,1132.560,M,-20.300,M,,0000", "GGA",
			values{
				"utc": "23:27:12", "lat deg": 44.068729937, "lon deg": -121.314120767, "fix": int64(1),
				"satellites": int64(5), "hdop": 5.1, "altitude m": 1132.56, "geoid_separation m": -20.3,
			},
		},
		"GGA without a fix has no position": {
			"$GPGGA,235946.005,8960.000000,N,00000.000000,E,0,0,,137.000,M,13.000,M,,", "GGA",
			values{"fix": int64(0), "satellites": int64(0)},
		},
		"GNS": {
			"$GNGNS,112257.00,3844.24011,N,00908.43828,W,AN,03,10.5,12.0,50.0,,", "GNS",
			values{
				"utc": "11:22:57", "lat deg": 38.737335167, "lon deg": -9.140638, "satellites": int64(3),
				"hdop": 10.5, "altitude m": 12.0, "geoid_separation m": 50.0,
			},
		},
		"GNS without a fix": {"$GNGNS,112257.00,,,,,NN,00,,,,,", "GNS", values{"satellites": int64(0)}},
		"RMC": {
			"$INRMC,194101,A,4426.1130,N,07140.5596,W,5.2,77.3,160906,15.8,W", "RMC",
			values{
				"valid": true, "datetime": "2006-09-16T19:41:01Z", "lat deg": 44.435216667, "lon deg": -71.675993333,
				"speed kn": 5.2, "course deg": 77.3, "variation deg": -15.8,
			},
		},
		"RMC void": {
			"$GPRMC,235946.005,V,8960.000000,N,00000.000000,E,0.000,0.00,050180,,,N", "RMC", values{"valid": false},
		},
		"RMC of the nineties": {
			"$GPRMC,120000.250,A,0000.0000,S,17959.9999,E,,,311299,,", "RMC",
			values{"valid": true, "datetime": "1999-12-31T12:00:00.250Z", "lat deg": 0.0, "lon deg": 179.999998333},
		},
		"VTG":               {"$INVTG,77.5,T,93.3,M,5.2,N,9.7,K", "VTG", values{"course deg": 77.5, "course_magnetic deg": 93.3, "speed kn": 5.2, "speed_kmh km/h": 9.7}},
		"VTG void":          {"$GPVTG,0.00,T,,M,0.000,N,0.000,K,N", "VTG", values{}},
		"GLL":               {"$INGLL,4426.1130,N,07140.5579,W,194102,A", "GLL", values{"valid": true, "lat deg": 44.435216667, "lon deg": -71.675965, "utc": "19:41:02"}},
		"GLL void":          {"$GPGLL,,,,,,V,N", "GLL", values{"valid": false}},
		"GSA":               {"$GPGSA,A,3,30,28,09,11,17,,,,,,,,8.2,5.1,6.4", "GSA", values{"fix_mode": int64(3), "pdop": 8.2, "hdop": 5.1, "vdop": 6.4}},
		"GSA without a fix": {"$GPGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9", "GSA", values{"fix_mode": int64(1)}},
		"GSV, first":        {"$GLGSV,3,1,11,01,78,221,47,03,09,042,00", "GSV", values{"satellites_in_view_gl": int64(11)}},
		"GSV, second":       {"$GPGSV,3,2,11,13,37,235,48", "GSV", values{}},
		"ZDA":               {"$INZDA,194104,16,09,2006,-05,00", "ZDA", values{"datetime": "2006-09-16T19:41:04Z"}},
		"HDT":               {"$HEHDT,271.5,T", "HDT", values{"heading deg": 271.5}},
		"HDG":               {"$HCHDG,98.3,0.5,E,12.6,W", "HDG", values{"heading_magnetic deg": 98.3, "deviation deg": 0.5, "variation deg": -12.6}},
		"HDM":               {"$HCHDM,98.3,M", "HDM", values{"heading_magnetic deg": 98.3}},
		"THS":               {"$GPTHS,77.5,A", "THS", values{"heading deg": 77.5}},
		"ROT":               {"$HEROT,-12.5,A", "ROT", values{"rate_of_turn deg/min": -12.5}},
		"DBT":               {"$SDDBT,7.5,f,2.3,M,1.3,F", "DBT", values{"depth m": 2.3}},
		"DPT":               {"$INDPT,2.2,0.0", "DPT", values{"depth m": 2.2, "depth_offset m": 0.0}},
		"MTW":               {"$INMTW,17.9,C", "MTW", values{"water_temperature °C": 17.9}},
		"VHW":               {"$VWVHW,,T,,M,5.1,N,9.4,K", "VHW", values{"water_speed kn": 5.1}},
		"VLW":               {"$VWVLW,1234.5,N,12.3,N", "VLW", values{"distance_total nmi": 1234.5, "distance_trip nmi": 12.3}},
		"MWV relative":      {"$WIMWV,45.0,R,10.0,N,A", "MWV", values{"wind_angle deg": 45.0, "wind_speed m/s": 5.1444}},
		"MWV true":          {"$WIMWV,45.0,T,36.0,K,A", "MWV", values{"true_wind_angle deg": 45.0, "true_wind_speed m/s": 10.0}},
		"MWV void":          {"$WIMWV,45.0,R,10.0,N,V", "MWV", values{}},
		"MWD":               {"$WIMWD,270.0,T,265.0,M,10.0,N,5.1,M", "MWD", values{"wind_direction deg": 270.0, "wind_direction_magnetic deg": 265.0, "true_wind_speed m/s": 5.1444}},
		"XDR": {
			"$IIXDR,C,19.5,C,AIR,P,1.0132,B,BARO,H,45,P,HUM", "XDR",
			values{"air °C": 19.5, "baro bar": 1.0132, "hum %": 45.0},
		},
		"an unknown sentence":              {"$PGRME,9.1,M,15.0,M,,M", "PGRME", values{"pgrme_1": 9.1, "pgrme_2": "M", "pgrme_3": 15.0, "pgrme_4": "M", "pgrme_6": "M"}},
		"a checksum that nobody asked for": {"$HEHDT,271.5,T*00", "HDT", values{"heading deg": 271.5}},

		"no sentence":       {"hello, world", "", nil},
		"minutes":           {"$GPGLL,4460.0000,N,07140.5579,W,194102,A", "", nil},
		"latitude":          {"$GPGLL,9000.0001,N,07140.5579,W,194102,A", "", nil},
		"letter":            {"$GPGLL,4426.1130,E,07140.5579,W,194102,A", "", nil},
		"signed":            {"$GPGLL,-426.1130,N,07140.5579,W,194102,A", "", nil},
		"time":              {"$GPGLL,4426.1130,N,07140.5579,W,244102,A", "", nil},
		"date":              {"$INRMC,194101,A,4426.1130,N,07140.5596,W,5.2,77.3,320906,15.8,W", "", nil},
		"number":            {"$HEHDT,27l.5,T", "", nil},
		"unit of speed":     {"$WIMWV,45.0,R,10.0,X,A", "", nil},
		"direction":         {"$HCHDG,98.3,0.5,X,12.6,W", "", nil},
		"count":             {"$GPGSV,3,1,-1", "", nil},
		"a transducer":      {"$IIXDR,C,x,C,AIR", "", nil},
		"address too short": {"$GPGG,1", "", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			device, got, err := parsed(t, Config{Kind: "nmea"}, tt.sentence)
			if (err != nil) != (tt.want == nil) {
				t.Fatalf("parse = %v, %v; want %v", got, err, tt.want)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" || device != tt.device {
				t.Errorf("device %q; want %q; values (-want +got):\n%s", device, tt.device, diff)
			}
		})
	}
}

func TestNMEAOnlySomeSentences(t *testing.T) {
	p := Config{Kind: "nmea", Sentences: []string{"RMC", "PGRME"}}
	for sentence, want := range map[string]error{
		"$INRMC,194101,V,,,,,,,,,":              nil,
		"$PGRME,9.1,M":                          nil,
		"$INDPT,2.2,0.0":                        ErrForeign,
		"$GPGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9": ErrForeign,
	} {
		if _, _, err := parsed(t, p, sentence); err != want {
			t.Errorf("%s: %v; want %v", sentence, err, want)
		}
	}
}

// Recorded sentences of four devices: all that have a right checksum must be
// read, and all positions lie where the devices were.
func TestNMEARecorded(t *testing.T) {
	files := map[string]struct {
		frames   int // with a checksum
		rejected int // without
		lat, lon float64
	}{
		"garmin48.nmea":       {91, 1, -45.46, 167.15},
		"humminbird-M37.nmea": {98, 0, 44.43, -71.68},
		"mtk-3301.nmea":       {56, 3, 52.22, 6.89},
		"skytraq-fix.nmea":    {100, 0, 44.07, -121.31},
	}
	for name, want := range files {
		t.Run(name, func(t *testing.T) {
			recorded := serialtest.Recorded(t, "nmea", name)
			rejected := 0
			d, err := frame.New(frame.Delimiter{}, frame.Sum{Kind: "nmea"}, 1024, func(string) { rejected++ })
			if err != nil {
				t.Fatal(err)
			}
			d.Restart()
			p, err := newNMEAParser(nil)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			var doc Document
			for sentence := range d.Feed(append(bytes.TrimSpace(recorded), '\n')) {
				doc.Reset()
				if err := p.Parse(sentence, &doc); err != nil {
					t.Errorf("%s: %v", sentence, err)
				}
				for _, v := range doc.Values {
					x, _ := v.Any.(float64)
					if v.Name == "lat" && math.Abs(x-want.lat) > 0.05 || v.Name == "lon" && math.Abs(x-want.lon) > 0.05 {
						t.Errorf("%s: %s = %v", sentence, v.Name, v.Any)
					}
				}
				n++
			}
			if n != want.frames || rejected != want.rejected {
				t.Errorf("%d sentences, %d rejected; want %d and %d", n, rejected, want.frames, want.rejected)
			}
		})
	}
}
