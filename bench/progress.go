package bench

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress is a bar for a person who waits; with no writer it is nothing.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress begins a bar of so many steps; -1 draws a spinner.
func newProgress(w io.Writer, what string, steps int) *progress {
	if w == nil {
		return &progress{}
	}
	return &progress{progressbar.NewOptions(steps,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

// set moves the bar; it may be called from several goroutines.
func (p *progress) set(done int) {
	if p.bar != nil {
		_ = p.bar.Set(done)
	}
}

func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
