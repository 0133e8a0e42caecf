package parse

// nmeaTable says what the sentences mean whose values have names. Angles are in
// degrees, positions in signed degrees.
func nmeaTable() map[string]nmeaSentence {
	table := make(map[string]nmeaSentence)
	nmeaPosition(table)
	nmeaMotion(table)
	nmeaWaterAndWind(table)
	return table
}

// nmeaPosition: what a satellite receiver says of where and when it is.
func nmeaPosition(table map[string]nmeaSentence) {
	table["GGA"] = nmeaSentence{
		valid: func(c nmeaColumns) bool { return c.at(6) != "" && c.at(6) != "0" },
		status: []nmeaColumn{
			{6, "fix", "", nmeaInt},
			{7, "satellites", "", nmeaInt},
		},
		data: []nmeaColumn{
			{1, "utc", "", nmeaTime},
			{2, "lat", "deg", nmeaLatitude},
			{4, "lon", "deg", nmeaLongitude},
			{8, "hdop", "", nmeaNumber},
			{9, "altitude", "m", nmeaNumber},
			{11, "geoid_separation", "m", nmeaNumber},
		},
	}
	table["GNS"] = nmeaSentence{
		valid:  func(c nmeaColumns) bool { return !onlyN(c.at(6)) },
		status: []nmeaColumn{{7, "satellites", "", nmeaInt}},
		data: []nmeaColumn{
			{1, "utc", "", nmeaTime},
			{2, "lat", "deg", nmeaLatitude},
			{4, "lon", "deg", nmeaLongitude},
			{8, "hdop", "", nmeaNumber},
			{9, "altitude", "m", nmeaNumber},
			{10, "geoid_separation", "m", nmeaNumber},
		},
	}
	table["GLL"] = nmeaSentence{
		valid:  func(c nmeaColumns) bool { return c.at(6) != "V" && c.at(7) != "N" },
		status: []nmeaColumn{{6, "valid", "", nmeaBoolOr(true)}},
		data: []nmeaColumn{
			{1, "lat", "deg", nmeaLatitude},
			{3, "lon", "deg", nmeaLongitude},
			{5, "utc", "", nmeaTime},
		},
	}
	table["GSA"] = nmeaSentence{
		valid:  func(c nmeaColumns) bool { return c.at(2) != "1" },
		status: []nmeaColumn{{2, "fix_mode", "", nmeaInt}},
		data: []nmeaColumn{
			{15, "pdop", "", nmeaNumber},
			{16, "hdop", "", nmeaNumber},
			{17, "vdop", "", nmeaNumber},
		},
	}
	table["ZDA"] = nmeaSentence{data: []nmeaColumn{{1, "datetime", "", nmeaDate}}}
}

// nmeaMotion: speed, course and heading.
func nmeaMotion(table map[string]nmeaSentence) {
	table["RMC"] = nmeaSentence{
		valid:  func(c nmeaColumns) bool { return c.at(2) == "A" && c.at(12) != "N" },
		status: []nmeaColumn{{2, "valid", "", nmeaBool}},
		data: []nmeaColumn{
			{1, "datetime", "", nmeaDateTime(9)},
			{3, "lat", "deg", nmeaLatitude},
			{5, "lon", "deg", nmeaLongitude},
			{7, "speed", "kn", nmeaNumber},
			{8, "course", "deg", nmeaNumber},
			{10, "variation", "deg", nmeaSigned},
		},
	}
	table["VTG"] = nmeaSentence{
		valid: func(c nmeaColumns) bool { return c.at(2) == "T" && c.at(9) != "N" },
		data: []nmeaColumn{
			{1, "course", "deg", nmeaNumber},
			{3, "course_magnetic", "deg", nmeaNumber},
			{5, "speed", "kn", nmeaNumber},
			{7, "speed_kmh", "km/h", nmeaNumber},
		},
	}
	table["HDT"] = nmeaSentence{data: []nmeaColumn{{1, "heading", "deg", nmeaNumber}}}
	table["THS"] = nmeaSentence{
		valid: func(c nmeaColumns) bool { return c.at(2) != "V" },
		data:  []nmeaColumn{{1, "heading", "deg", nmeaNumber}},
	}
	table["HDM"] = nmeaSentence{data: []nmeaColumn{{1, "heading_magnetic", "deg", nmeaNumber}}}
	table["HDG"] = nmeaSentence{data: []nmeaColumn{
		{1, "heading_magnetic", "deg", nmeaNumber},
		{2, "deviation", "deg", nmeaSigned},
		{4, "variation", "deg", nmeaSigned},
	}}
	table["ROT"] = nmeaSentence{
		valid: func(c nmeaColumns) bool { return c.at(2) != "V" },
		data:  []nmeaColumn{{1, "rate_of_turn", "deg/min", nmeaNumber}},
	}
}

// nmeaWaterAndWind: sounder, log and weather station.
func nmeaWaterAndWind(table map[string]nmeaSentence) {
	table["DBT"] = nmeaSentence{data: []nmeaColumn{{3, "depth", "m", nmeaNumber}}}
	table["DBK"] = nmeaSentence{data: []nmeaColumn{{3, "depth_below_keel", "m", nmeaNumber}}}
	table["DBS"] = nmeaSentence{data: []nmeaColumn{{3, "depth_below_surface", "m", nmeaNumber}}}
	table["DPT"] = nmeaSentence{data: []nmeaColumn{
		{1, "depth", "m", nmeaNumber},
		{2, "depth_offset", "m", nmeaNumber},
	}}
	table["MTW"] = nmeaSentence{
		valid: func(c nmeaColumns) bool { return c.at(2) == "C" },
		data:  []nmeaColumn{{1, "water_temperature", "°C", nmeaNumber}},
	}
	table["VHW"] = nmeaSentence{data: []nmeaColumn{
		{1, "heading", "deg", nmeaNumber},
		{3, "heading_magnetic", "deg", nmeaNumber},
		{5, "water_speed", "kn", nmeaNumber},
	}}
	table["VLW"] = nmeaSentence{data: []nmeaColumn{
		{1, "distance_total", "nmi", nmeaNumber},
		{3, "distance_trip", "nmi", nmeaNumber},
	}}
	table["MWV"] = nmeaSentence{
		valid: func(c nmeaColumns) bool { return c.at(5) == "A" },
		data: []nmeaColumn{
			{1, "wind_angle", "deg", onlyIf(2, "R", nmeaNumber)},
			{1, "true_wind_angle", "deg", onlyIf(2, "T", nmeaNumber)},
			{3, "wind_speed", "m/s", onlyIf(2, "R", nmeaSpeed)},
			{3, "true_wind_speed", "m/s", onlyIf(2, "T", nmeaSpeed)},
		},
	}
	table["MWD"] = nmeaSentence{data: []nmeaColumn{
		{1, "wind_direction", "deg", nmeaNumber},
		{3, "wind_direction_magnetic", "deg", nmeaNumber},
		{5, "true_wind_speed", "m/s", nmeaSpeed},
	}}
}

// onlyN says whether all the modes of a GNS sentence say "no fix".
func onlyN(modes string) bool {
	for i := range len(modes) {
		if modes[i] != 'N' {
			return false
		}
	}
	return true
}

// onlyIf reads a column if another one has the letter.
func onlyIf(other int, letter string, read nmeaReader) nmeaReader {
	return func(c nmeaColumns, at int) (any, error) {
		if c.at(other) != letter {
			return nil, nil
		}
		return read(c, at)
	}
}

// nmeaBoolOr reads a status which old devices leave out.
func nmeaBoolOr(missing bool) nmeaReader {
	return func(c nmeaColumns, at int) (any, error) {
		if c.at(at) == "" {
			return missing, nil
		}
		return nmeaBool(c, at)
	}
}
