package main

import (
	"strings"
	"testing"
)

func TestTheNotesSayWhatIsInstalled(t *testing.T) {
	const (
		wait    = "kubectl wait --for=condition=PolicyActive"
		try     = "kubectl run demo"
		off     = "The policies are switched off"
		monitor = "no policy adds the pull secret"
		nothing = "Nothing adds the pull secret to Pods"
		sidecar = "The sidecar adds the pull secret to service accounts"
		metrics = "Prometheus cannot read the sidecar's metrics"
	)
	all := []string{metrics, wait, try, off, monitor, nothing, sidecar}
	for _, test := range []struct {
		values string
		says   []string
	}{
		{"{}", []string{wait, try}},
		{"attach: both", []string{wait, try, sidecar}},
		{"networkPolicy: {enabled: true}", []string{metrics, wait, try}},
		{"networkPolicy: {enabled: true, metricsFrom: [{podSelector: {}}]}", []string{wait, try}},
		{"attach: service-account", []string{wait, sidecar}},
		{"{attach: service-account, policies: {guard: {enabled: false}}}", []string{off, sidecar}},
		{"policies: {enabled: false}", []string{off, nothing}},
		{"policies: {mode: monitor}", []string{wait, monitor}},
		{"policies: {inject: {enabled: false}}", []string{wait, nothing}},
		{"policies: {inject: {enabled: false}, guard: {enabled: false}}", []string{off, nothing}},
		{"policies: {inject: {enabled: false}, serviceaccounts: {enabled: true}}", []string{wait}},
	} {
		texts, err := renderAll(test.values)
		if err != nil {
			t.Fatal(err)
		}
		notes := texts["NOTES.txt"]
		var says []string
		for _, part := range all {
			if strings.Contains(notes, part) {
				says = append(says, part)
			}
		}
		if strings.Join(says, "; ") != strings.Join(test.says, "; ") {
			t.Errorf("%s: the notes say %q:\n%s", test.values, says, notes)
		}
		if strings.Contains(notes, "\n\n\n") {
			t.Errorf("%s: there is a gap in the notes:\n%s", test.values, notes)
		}
	}
}
