package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// chatScreen is where lines are shown and typed. On a terminal, what is shown
// stands above the line that is being typed; elsewhere lines go out as they are.
type chatScreen struct {
	in   io.Reader
	out  io.Writer
	mu   sync.Mutex     // one line at a time
	tty  *term.Terminal // nil where input or output is no terminal
	back func()         // puts the terminal back
}

func newChatScreen(in io.Reader, out io.Writer) (*chatScreen, error) {
	s := &chatScreen{in: in, out: out, back: func() {}}
	i, ok := in.(*os.File)
	o, also := out.(*os.File)
	if !ok || !also || !term.IsTerminal(int(i.Fd())) || !term.IsTerminal(int(o.Fd())) {
		return s, nil
	}
	before, err := term.MakeRaw(int(i.Fd()))
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	s.back = func() { _ = term.Restore(int(i.Fd()), before); _, _ = fmt.Fprintln(o) }
	s.tty = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{i, o}, "> ")
	if width, height, err := term.GetSize(int(o.Fd())); err == nil {
		_ = s.tty.SetSize(width, height)
	}
	return s, nil
}

// print shows a line.
func (s *chatScreen) print(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tty != nil {
		_, _ = fmt.Fprintf(s.tty, "%s\n", line)
		return
	}
	_, _ = fmt.Fprintln(s.out, line)
}

// title names what is open in the prompt.
func (s *chatScreen) title(name string) {
	if s.tty != nil {
		s.tty.SetPrompt(name + "> ")
	}
}

// chatLineMax bounds a line that is typed.
const chatLineMax = 64 << 10

// lines are the lines that are typed. The channel is closed at the end of the
// input, or with Ctrl-C or Ctrl-D on a terminal. The reader itself can not be
// interrupted: it ends with the program.
func (s *chatScreen) lines(ctx context.Context) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		next := s.reader()
		for {
			line, err := next()
			if err != nil {
				return
			}
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

func (s *chatScreen) reader() func() (string, error) {
	if s.tty != nil {
		return s.tty.ReadLine
	}
	scanner := bufio.NewScanner(s.in)
	scanner.Buffer(nil, chatLineMax)
	return func() (string, error) {
		if scanner.Scan() {
			return scanner.Text(), nil
		}
		if err := scanner.Err(); err != nil {
			s.print("* error: " + err.Error())
		}
		return "", io.EOF
	}
}

func (s *chatScreen) close() { s.back() }
