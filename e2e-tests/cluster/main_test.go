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
	for _, command := range []string{"up", etcd, kubeAPIServer, kubeControllerManager, "kubectl", registryProgram, nodeProgram} {
		if !strings.Contains(text, "\n  "+command+" ") {
			t.Errorf("%s is missing in:\n%s", command, text)
		}
	}
}

func TestHelpOfUpHasAnExampleAndEveryFlag(t *testing.T) {
	text := help(t, "up", "--help")
	for _, part := range []string{"Examples:", "--dir string", "--apiserver-flag name=value", "--keep", "--registry-cloud URL", "--image repository:tag", "--node", "--host name", "--pull-back-off duration"} {
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
	err := up(context.Background(), upOptions{}, nil, &out, &out)
	if err == nil || !strings.HasPrefix(err.Error(), "--dir is missing") {
		t.Errorf("got %v", err)
	}
}

func TestFlagsThatDoNotGoTogetherAreTold(t *testing.T) {
	backOff := backOffOptions{first: kubeletBackOff, longest: kubeletLongestBackOff}
	for _, c := range []struct {
		options upOptions
		want    string
	}{
		{upOptions{images: []string{"team/web:1"}}, "--image needs a registry"},
		{upOptions{publicImages: []string{"team/web:1"}}, "--image needs a registry"},
		{upOptions{hosts: []string{"example.com=127.0.0.1:1"}}, "--host needs a node"},
		{upOptions{node: true, hosts: []string{"example.com"}}, "--host example.com: there is no registry"},
	} {
		c.options.backOff = backOff
		if err := c.options.check(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %s…", c.options, err, c.want)
		}
	}
	good := upOptions{node: true, hosts: []string{"example.com"}, registryCloud: "http://127.0.0.1:1", backOff: backOff}
	if err := good.check(); err != nil {
		t.Errorf("flags that go together: %v", err)
	}
}

func TestInputThatEndsIsAReasonToStop(t *testing.T) {
	ctx, orders := untilTold(t.Context(), strings.NewReader("restart etcd\n"))
	if order := <-orders; order != "restart etcd" {
		t.Errorf("the order is %q", order)
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); cause.Error() != "standard input ended" {
		t.Errorf("the reason is %q", cause)
	}
}
