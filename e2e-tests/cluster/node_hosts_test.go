package main

import (
	"strings"
	"testing"
)

func TestHostNamesLeadWhereTheFirstRuleThatMatchesSays(t *testing.T) {
	hosts, err := parseHosts([]string{
		"example.com=127.0.0.1:1",
		"other.example.com:8443=127.0.0.1:2",
		"*.example.com=localhost:3",
	})
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{
		"example.com:443":        "127.0.0.1:1",
		"other.example.com:8443": "127.0.0.1:2",
		"other.example.com:443":  "localhost:3",
		"a.b.example.com:80":     "localhost:3",
		"127.0.0.1:5000":         "127.0.0.1:5000",
		"localhost:5000":         "localhost:5000",
	} {
		if got, err := hosts.find(asked); err != nil || got != want {
			t.Errorf("%s leads to %s (%v), want %s", asked, got, err, want)
		}
	}
}

func TestNoOtherHostIsEverAsked(t *testing.T) {
	if address, err := (hostMap{}).find("index.docker.io:443"); err == nil {
		t.Errorf("it leads to %s", address)
	}
}

func TestRulesThatCannotBeAreTold(t *testing.T) {
	for rule, want := range map[string]string{
		"example.com":            "write it as name=address",
		"=127.0.0.1:1":           "write it as name=address",
		"example.com=127.0.0.1":  "missing port",
		"example.com=10.0.0.1:1": "not a loopback address",
		"[=127.0.0.1:1":          "syntax error in pattern",
	} {
		if _, err := parseHosts([]string{rule}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", rule, err, want)
		}
	}
}
