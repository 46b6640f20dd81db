package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLastLines(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{
		{"", 2, ""},
		{"one\n", 2, "one"},
		{"one\ntwo\n", 2, "one\ntwo"},
		{"one\ntwo\nthree", 2, "two\nthree"},
		{"one\n\ntwo\n\n\n", 2, "\ntwo"},
	} {
		if got := lastLines(c.text, c.n); got != c.want {
			t.Errorf("lastLines(%q, %d) = %q, want %q", c.text, c.n, got, c.want)
		}
	}
}

func TestAPartThatDiesShowsTheEndOfItsLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "etcd.log")
	stack := "\ngoroutine 1 [running]:\n" + strings.Repeat("main.main()\n", tailLines)
	if err := os.WriteFile(log, []byte("first\n"+strings.Repeat("more\n", tailLines-1)+"panic: no space left on device\n"+stack), 0o600); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	close(exited)
	child := &process{
		part: part{
			name:  etcd,
			log:   log,
			ready: func(context.Context) error { return errors.New("not yet") },
		},
		exited: exited,
		err:    errors.New("exit status 1"),
	}
	err := child.waitReady(t.Context())
	if err == nil {
		t.Fatal("a dead part became ready")
	}
	message := err.Error()
	if !strings.HasPrefix(message, "etcd died: exit status 1\n") || !strings.HasSuffix(message, "\npanic: no space left on device") || strings.Contains(message, "first") {
		t.Errorf("the message is:\n%s", message)
	}
}

func TestWaitingEndsWithTheContextAndSaysWhy(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("standard input ended"))
	child := &process{
		part:   part{name: etcd, ready: func(ctx context.Context) error { return ctx.Err() }},
		exited: make(chan struct{}),
	}
	err := child.waitReady(ctx)
	if err == nil || err.Error() != "stopped while waiting for etcd: standard input ended" {
		t.Errorf("got %v", err)
	}
}
