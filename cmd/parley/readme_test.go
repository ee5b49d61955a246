package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// readmeBlock is the example of the README in a language that holds a text.
func readmeBlock(t *testing.T, language, holding string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	for _, block := range blocks {
		if strings.Contains(block[1], holding) {
			return block[1]
		}
	}
	t.Fatalf("the README has no %s example with %q", language, holding)
	return ""
}

// What a newcomer pastes runs as it stands, but for the address.
func TestReadmeGoExample(t *testing.T) {
	server := newChatServer(t)
	text := readmeBlock(t, "go", "package main")
	if !strings.Contains(text, "127.0.0.1:8080") {
		t.Fatal("the example names no server")
	}
	file := filepath.Join(t.TempDir(), "talk.go")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "127.0.0.1:8080", server.config.Listen)), 0o600); err != nil {
		t.Fatal(err)
	}
	ann := startTalker(t, chatFlags{url: server.url(), as: "ann"}) // so that she is known
	ann.sees("* online")
	defer ann.leaves()
	bob := chatFlags{as: "bob", data: server.config.Data}
	token, err := bob.token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	program := exec.CommandContext(ctx, "go", "run", file)
	program.Env = append(os.Environ(), "TOKEN="+token)
	program.WaitDelay = time.Second
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = program.Wait() }()
	if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "1 bob: hello from Go" {
		t.Errorf("the example printed %q, %v", lines.Text(), lines.Err())
	}
}
