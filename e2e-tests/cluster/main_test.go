package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func help(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestHelpListsEveryCommand(t *testing.T) {
	text := help(t, "--help")
	for _, command := range []string{"up", etcd, kubeAPIServer, kubeControllerManager, "kubectl"} {
		if !strings.Contains(text, "\n  "+command+" ") {
			t.Errorf("%s is missing in:\n%s", command, text)
		}
	}
}

func TestHelpOfUpHasAnExampleAndEveryFlag(t *testing.T) {
	text := help(t, "up", "--help")
	for _, part := range []string{"Examples:", "--dir string", "--apiserver-flag name=value", "--keep"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
	if strings.Contains(text, "--version") {
		t.Errorf("a flag of the linked programs is shown:\n%s", text)
	}
}

func TestUpNeedsADirectory(t *testing.T) {
	var out bytes.Buffer
	err := up(context.Background(), upOptions{}, &out, &out)
	if err == nil || !strings.HasPrefix(err.Error(), "--dir is missing") {
		t.Errorf("got %v", err)
	}
}

func TestInputThatEndsIsAReasonToStop(t *testing.T) {
	ctx := untilTold(t.Context(), strings.NewReader("ignored\n"))
	<-ctx.Done()
	if cause := context.Cause(ctx); cause.Error() != "standard input ended" {
		t.Errorf("the reason is %q", cause)
	}
}
