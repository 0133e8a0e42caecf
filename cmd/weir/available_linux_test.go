package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestGroupLimit(t *testing.T) {
	for name, tc := range map[string]struct {
		groups string
		files  map[string]string
		want   int64
	}{
		"none":              {"", nil, math.MaxInt64},
		"version 2":         {"0::/a/b\n", map[string]string{"a/b/memory.max": "67108864\n"}, 64 << 20},
		"version 2, max":    {"0::/a\n", map[string]string{"a/memory.max": "max\n"}, math.MaxInt64},
		"the group above":   {"0::/a/b\n", map[string]string{"a/memory.max": "1000\n", "a/b/memory.max": "max\n"}, 1000},
		"in a container":    {"0::/\n", map[string]string{"memory.max": "5000\n"}, 5000},
		"version 1":         {"9:name=systemd:/x\n4:memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "3000\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"}, 3000},
		"both":              {"4:memory:/a\n0::/b\n", map[string]string{"memory/a/memory.limit_in_bytes": "3000\n", "b/memory.max": "2000\n"}, 2000},
		"a colon":           {"0::/a:b\n", map[string]string{"a:b/memory.max": "7\n"}, 7},
		"out of the folder": {"0::/../../etc\n", map[string]string{"etc/memory.max": "7\n"}, 7},
		"nonsense":          {"0::\nx\n::\n", map[string]string{"memory.max": "-1\n"}, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, text := range tc.files {
				file = filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := groupLimit(root, tc.groups); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
	if n := availableMemory(); n < 16<<20 || n > 1<<50 {
		t.Errorf("%d bytes of memory", n)
	}
}
