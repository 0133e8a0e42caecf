package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// screen tells the demo's story: chapters with their lines, and in between one
// line that is written over again and again on a terminal, or every two seconds
// where the output goes to a file.
type screen struct {
	w        io.Writer
	terminal bool
	live     bool // the last line is to be written over
	lastLive time.Time
}

func newScreen(w io.Writer) *screen {
	f, ok := w.(*os.File)
	return &screen{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// chapter begins a part of the story.
func (s *screen) chapter(title string) {
	s.end()
	if s.terminal {
		title = "\x1b[1m" + title + "\x1b[0m"
	}
	fmt.Fprintf(s.w, "\n%s\n", title)
}

// line writes one line that stays.
func (s *screen) line(format string, args ...any) {
	s.end()
	fmt.Fprintf(s.w, "   "+format+"\n", args...)
}

// liveInterval is how often the moving line is repeated in a file.
const liveInterval = 2 * time.Second

// moving writes the line that is written over.
func (s *screen) moving(format string, args ...any) {
	text := fmt.Sprintf("   "+format, args...)
	if s.terminal {
		fmt.Fprintf(s.w, "\r\x1b[K%s", text)
		s.live = true
		return
	}
	if time.Since(s.lastLive) >= liveInterval {
		fmt.Fprintln(s.w, text)
		s.lastLive = time.Now()
	}
}

// end leaves the moving line as it is.
func (s *screen) end() {
	if s.live {
		fmt.Fprintln(s.w)
		s.live = false
	}
	s.lastLive = time.Time{}
}

// bar is a progress bar on a terminal; elsewhere progress is a moving line.
func (s *screen) bar(total int, what string) func(done int) {
	s.end()
	begin := time.Now()
	if !s.terminal {
		return func(done int) {
			s.moving("%s %3d %% (%s of %s)", what, 100*done/max(total, 1), count(done), count(total))
		}
	}
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetWriter(s.w),
		progressbar.OptionSetDescription("   "+what),
		progressbar.OptionSetWidth(32),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}),
	)
	return func(done int) {
		_ = bar.Set(min(done, total)) // fails only past the end
		if done >= total {
			fmt.Fprintf(s.w, "  in %s\n", time.Since(begin).Round(10*time.Millisecond))
		}
	}
}
