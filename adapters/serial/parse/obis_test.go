package parse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-edge/weir/adapters/serial/frame"
	"github.com/weir-edge/weir/adapters/serial/serialtest"
)

// A telegram of our own, in the manner of DSMR 5, with what is special about
// each kind of line.
const telegram = "/WEI5\\2T0001\r\n\r\n" +
	"1-3:0.2.8(50)\r\n" +
	"0-0:1.0.0(260701120000S)\r\n" +
	"0-0:96.1.1(4D45544552)\r\n" +
	"1-0:1.8.1(000123.456*kWh)\r\n" +
	"1-0:2.8.0*255(0000007*Wh)\r\n" +
	"0-0:96.14.0(0002)\r\n" +
	"1-0:1.7.0(00.244*kW)\r\n" +
	"1-0:99.97.0(1)(0-0:96.7.19)(190326095015W)(0000002014*s)\r\n" +
	"1-0:52.7.0(230.1*V)\r\n" +
	"1-0:71.7.0(001*A)\r\n" +
	"0-0:96.13.0()\r\n" +
	"0-1:24.1.0(003)\r\n" +
	"0-1:96.1.0(47)\r\n" +
	"0-1:24.2.1(260701115500S)(00042.107*m3)\r\n" +
	"0-2:24.3.0(090212160000)(00)(60)(1)(0-2:24.2.1)(m3)\r\n" +
	"(00001.001)\r\n" +
	"1-0:96.5.5*255(8A)\r\n" +
	"!\r\n"

func TestOBIS(t *testing.T) {
	_, got, err := parsed(t, Config{Kind: "obis"}, telegram)
	if err != nil {
		t.Fatal(err)
	}
	want := values{
		"1-3:0.2.8": "50", "time": "2026-07-01T12:00:00+02:00", "equipment_id": "METER",
		"energy_import_t1 kWh": 123.456, "energy_export Wh": 7.0, "tariff": 2.0, "power_import kW": 0.244,
		"voltage_l2 V": 230.1, "current_l3 A": 1.0,
		"mbus1_type": 3.0, "mbus1_id": "G", "mbus1_reading m3": 42.107, "mbus2_reading m3": 1.001,
		"1-0:96.5.5": "8A",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestOBISRefused(t *testing.T) {
	for name, s := range map[string]string{
		"no telegram":    "1-0:1.8.1(1*kWh)",
		"open bracket":   "/X\n1-0:1.8.1(1*kWh\n!",
		"between":        "/X\n1-0:1.8.1(1*kWh)x(2)\n!",
		"no code":        "/X\nhello(1)\n!",
		"a broken code":  "/X\n1-0:1.8.x(1*kWh)\n!",
		"a broken value": "/X\n1-0:1.8.1(00#1*kWh)\n!",
		"a broken time":  "/X\n0-0:1.0.0(171302192002W)\n!",
		"no season":      "/X\n0-0:1.0.0(170102192002X)\n!",
		"noise":          "/X\n1-0:1.8.1(1*k\x01h)\n!",
	} {
		t.Run(name, func(t *testing.T) {
			if _, got, err := parsed(t, Config{Kind: "obis"}, s); err == nil {
				t.Errorf("read %v", got)
			}
		})
	}
}

func TestOBISRecorded(t *testing.T) {
	tests := map[string]struct {
		sum    string
		values int
		some   values
	}{
		"v5.txt": {"p1", 34, values{
			"energy_import_t1 kWh": 4.426, "power_import kW": 0.244, "voltage_l3 V": 229.0, "current_l2 A": 0.44,
			"time": "2017-01-02T19:20:02+01:00", "equipment_id": "K8EG004046395507", "mbus1_reading m3": 0.107, "tariff": 2.0,
		}},
		"v5_two_mbus.txt": {"p1", 35, values{"mbus2_reading m3": 246.138, "power_import kW": 0.111, "mbus2_id": "G0039001936990619"}},
		"v4_2.txt":        {"p1", 30, values{"energy_import_t2 kWh": 1435.706, "mbus1_reading m3": 981.443}},
		"fluvius_v171.txt": {"p1", 34, values{
			"power_import_peak kW": 2.589, "mbus1_reading m3": 112.384, "time": "2020-05-12T13:54:09+02:00", "voltage_l1 V": 234.7,
		}},
		"sagemcom_t210_d_r.txt": {"p1", 18, values{"energy_import Wh": 6545766.0, "1-0:3.8.0 varh": 747.0}},
		"v2_2.txt":              {frame.None, 14, values{"mbus1_reading m3": 1.001, "power_import kW": 1.01}},
		"v3.txt":                {frame.None, 16, values{"mbus1_reading m3": 1.001, "message_code": "012345678"}},
		"esy5q3da1004_v304.txt": {frame.None, 8, values{"energy_import kWh": 32549.5061662, "power_import W": 1688.21, "0-0:96.1.255": "1ESY1336001560"}},
		"esy5q3db1024_v304.txt": {frame.None, 9, values{"energy_export kWh": 19949.3221493, "1-0:0.0.0": "0272031312565"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			framing := frame.StartEnd{Start: "/", End: "!", Line: true, Include: true}
			d, err := frame.New(framing, frame.Sum{Kind: tt.sum}, 8<<10, func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			d.Restart()
			// Its second half comes first, as when a listener joins in the middle.
			b := string(serialtest.Recorded(t, "p1", name))
			var got []string
			for telegram := range d.Feed([]byte(b[len(b)/2:] + b)) {
				got = append(got, string(telegram))
			}
			if len(got) == 0 {
				t.Fatal("no telegram")
			}
			_, read, err := parsed(t, Config{Kind: "obis"}, got[len(got)-1])
			if err != nil {
				t.Fatal(err)
			}
			if len(read) != tt.values {
				t.Errorf("%d values; want %d: %v", len(read), tt.values, read)
			}
			for name, want := range tt.some {
				if read[name] != want {
					t.Errorf("%s = %v; want %v", name, read[name], want)
				}
			}
			if strings.Contains(got[0], "!") && tt.sum == "p1" {
				t.Error("the checksum is a part of the payload")
			}
		})
	}
}
