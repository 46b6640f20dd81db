package main

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/keyutil"
)

func TestKubeconfigLeadsToTheServer(t *testing.T) {
	text, err := clientcmd.Write(*kubeconfig("https://127.0.0.1:1003", "admin", "token", []byte("certificate")))
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig()
	if err != nil {
		t.Fatalf("the current context is not usable: %v", err)
	}
	if client.Host != "https://127.0.0.1:1003" || client.BearerToken != "token" || string(client.CAData) != "certificate" {
		t.Errorf("the kubeconfig leads elsewhere:\n%s", text)
	}
}

func TestTokenFileNamesTheUsersAndTheAdministratorsGroup(t *testing.T) {
	reader := csv.NewReader(strings.NewReader(credentials{admin: "a", controllerManager: "b", node: "c"}.tokenFile()))
	// The groups may be missing, as kube-apiserver has it.
	reader.FieldsPerRecord = -1
	got, err := reader.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"a", "admin", "admin", "system:masters"},
		{"b", "system:kube-controller-manager", "system:kube-controller-manager"},
		{"c", "system:node:node", "system:node:node", "system:masters"},
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("the users are %q, want %q", got, want)
	}
}

func TestTokensAreNotGuessable(t *testing.T) {
	one, other := newCredentials(), newCredentials()
	if one.admin == other.admin || one.admin == one.controllerManager || len(one.admin) < 20 {
		t.Errorf("weak tokens: %+v, %+v", one, other)
	}
}

func TestServiceAccountKeyIsReadableByKubernetes(t *testing.T) {
	text, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyutil.ParsePrivateKeyPEM(text); err != nil {
		t.Errorf("parsing the key: %v", err)
	}
}
