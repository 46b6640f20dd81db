package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	testFiles = newLayout("/somewhere")
	testPorts = ports{etcdClient: 1001, etcdPeer: 1002, apiServer: 1003, registry: 1004}
)

func TestPartsListenOnLoopbackOnly(t *testing.T) {
	parts := []part{
		etcdPart(testFiles, testPorts),
		apiServerPart(testFiles, testPorts, "token", nil),
		controllerManagerPart(testFiles, testPorts, "token"),
		registryPart(testFiles, testPorts, upOptions{}),
		nodePart(testFiles, testPorts, "token", upOptions{}),
	}
	listening := []string{
		"--listen-client-urls=http://127.0.0.1:1001",
		"--listen-peer-urls=http://127.0.0.1:1002",
		"--bind-address=127.0.0.1",
		"--secure-port=1003",
		"--secure-port=0",
		"--listen=127.0.0.1:1004",
	}
	var found []string
	for _, part := range parts {
		for _, arg := range part.args {
			if slices.Contains(listening, arg) {
				found = append(found, arg)
			}
		}
	}
	if !slices.Equal(found, listening) {
		t.Errorf("the parts listen with %q, want %q", found, listening)
	}
}

func TestAPIServerUsesTheEtcdThatIsStarted(t *testing.T) {
	args := apiServerPart(testFiles, testPorts, "token", nil).args
	if want := "--etcd-servers=http://127.0.0.1:1001"; !slices.Contains(args, want) {
		t.Errorf("%q lacks %s", args, want)
	}
}

func TestExtraFlagsComeLastAndMayHaveDashes(t *testing.T) {
	args := apiServerPart(testFiles, testPorts, "token", []string{"v=4", "--audit-log-path=-"}).args
	got := args[len(args)-2:]
	if want := []string{"--v=4", "--audit-log-path=-"}; !slices.Equal(got, want) {
		t.Errorf("the last flags are %q, want %q", got, want)
	}
}

func TestAHostWithoutAnAddressLeadsToTheRegistry(t *testing.T) {
	options := upOptions{hosts: []string{"*.aliyuncs.com", "example.com=127.0.0.1:9"}}
	args := nodePart(testFiles, testPorts, "token", options).args
	got := args[len(args)-2:]
	if want := []string{"--host=*.aliyuncs.com=127.0.0.1:1004", "--host=example.com=127.0.0.1:9"}; !slices.Equal(got, want) {
		t.Errorf("the last flags are %q, want %q", got, want)
	}
}

func TestNoSecretIsOnACommandLine(t *testing.T) {
	users := newCredentials()
	for _, part := range []part{
		apiServerPart(testFiles, testPorts, users.admin, nil),
		controllerManagerPart(testFiles, testPorts, users.admin),
		nodePart(testFiles, testPorts, users.admin, upOptions{}),
	} {
		if line := strings.Join(part.args, " "); strings.Contains(line, users.admin) {
			t.Errorf("%s is started with a token: %s", part.name, line)
		}
	}
}

func TestLogsAreNamedAfterTheirProgram(t *testing.T) {
	part := etcdPart(testFiles, testPorts)
	if want := filepath.Join("/somewhere", "etcd.log"); part.log != want {
		t.Errorf("the log is %s, want %s", part.log, want)
	}
}

func TestFreePortsDifferAndAreFree(t *testing.T) {
	found, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	// Listening on all of them at once fails unless they differ.
	for _, port := range []int{found.etcdClient, found.etcdPeer, found.apiServer, found.registry} {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
}

func TestADirectoryIsClaimedOnlyWhenEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there")
	if err := claim(dir); err != nil {
		t.Fatalf("claiming a new directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := claim(dir)
	if err == nil || !strings.Contains(err.Error(), "precious") {
		t.Errorf("claiming a directory with a file: %v, want an error that names the file", err)
	}
}
