package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// decoded are the objects of a rendered template. A key that is there twice is an error.
func decoded(t *testing.T, rendered map[string]string, template string) []map[string]any {
	t.Helper()
	var objects []map[string]any
	for document := range strings.SplitSeq("\n"+rendered[template], "\n---\n") {
		var object map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			t.Fatalf("%s: %v\n%s", template, err, document)
		}
		if object != nil {
			objects = append(objects, object)
		}
	}
	return objects
}

// at is what is in an object at a path of keys; nothing where one of them is missing.
func at(object any, path ...string) any {
	for _, key := range path {
		if list, ok := object.([]any); ok && key == "0" && len(list) > 0 {
			object = list[0]
			continue
		}
		within, _ := object.(map[string]any)
		object = within[key]
	}
	return object
}

// text is what is to be in an object at a path of keys.
type text struct {
	object   any
	path     []string
	expected string
}

func checkTexts(t *testing.T, texts []text) {
	t.Helper()
	for _, text := range texts {
		if found := at(text.object, text.path...); found != text.expected {
			t.Errorf("%v is %v", text.path, found)
		}
	}
}

func TestNoKeyIsRenderedTwice(t *testing.T) {
	const usersOwn = `
commonLabels: {app.kubernetes.io/managed-by: us, helm.sh/chart: ours, app.kubernetes.io/version: "1", team: common}
podLabels: {team: pods, acr-credential-helper.io/inject: "false"}
podAnnotations: {prometheus.io/scrape: "false"}
serviceAccount: {annotations: {example.com/owner: platform}}
policies: {serviceaccounts: {enabled: true}}
networkPolicy: {enabled: true}
metrics:
  podMonitor: {enabled: true, labels: {app.kubernetes.io/instance: us, team: monitors}}
  serviceMonitor: {enabled: true, labels: {app.kubernetes.io/part-of: us, team: monitors}}
  prometheusRule: {enabled: true, labels: {app.kubernetes.io/name: us}, alertLabels: {severity: page}}
`
	rendered, err := renderWith(usersOwn)
	if err != nil {
		t.Fatal(err)
	}
	for template := range rendered {
		decoded(t, rendered, template)
	}
	deployment := decoded(t, rendered, "sidecar/deployment.yaml")[0]
	monitor := decoded(t, rendered, "monitoring/podmonitor.yaml")[0]
	rule := decoded(t, rendered, "monitoring/prometheusrule.yaml")[0]
	template := []string{"spec", "template", "metadata"}
	checkTexts(t, []text{
		{deployment, []string{"metadata", "labels", "app.kubernetes.io/managed-by"}, "us"},
		{deployment, []string{"metadata", "labels", "team"}, "common"},
		{deployment, append(slices.Clone(template), "labels", "team"), "pods"},
		{deployment, append(slices.Clone(template), "labels", "app.kubernetes.io/name"), "acr-credential-sidecar"},
		{deployment, append(slices.Clone(template), "annotations", "prometheus.io/scrape"), "false"},
		{deployment, append(slices.Clone(template), "annotations", "prometheus.io/port"), "8080"},
		{monitor, []string{"metadata", "labels", "team"}, "monitors"},
		{monitor, []string{"metadata", "labels", "app.kubernetes.io/instance"}, "us"},
		{rule, []string{"spec", "groups", "0", "rules", "0", "labels", "severity"}, "page"},
	})
}

func TestNamesThatLookLikeNumbersStayTexts(t *testing.T) {
	const numbers = `
pullSecret: "123"
keySecrets: ["456"]
serviceAccount: {name: "1e3"}
policies: {policyServer: {name: "789", serviceAccountName: "0", namespace: "1"}}
`
	rendered, err := renderWith(numbers)
	if err != nil {
		t.Fatal(err)
	}
	inject := decoded(t, rendered, "policies/inject.yaml")[0]
	deployment := decoded(t, rendered, "sidecar/deployment.yaml")[0]
	account := decoded(t, rendered, "sidecar/serviceaccount.yaml")[0]
	binding := decoded(t, rendered, "policies/rbac.yaml")[1]
	pod := []string{"spec", "template", "spec"}
	checkTexts(t, []text{
		{inject, []string{"spec", "settings", "pullSecret"}, "123"},
		{inject, []string{"spec", "policyServer"}, "789"},
		{deployment, append(slices.Clone(pod), "serviceAccountName"), "1e3"},
		{deployment, append(slices.Clone(pod), "volumes", "0", "secret", "secretName"), "456"},
		{account, []string{"metadata", "name"}, "1e3"},
		{binding, []string{"subjects", "0", "name"}, "0"},
		{binding, []string{"subjects", "0", "namespace"}, "1"},
	})
}

func TestNoPolicyStandsBeforeTheSidecarItself(t *testing.T) {
	for _, values := range []string{"{}", `podLabels: {acr-credential-helper.io/inject: "false"}`} {
		rendered, err := renderWith(values)
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range []any{
			decoded(t, rendered, "sidecar/deployment.yaml")[0],
			at(decoded(t, rendered, "sidecar/deployment.yaml")[0], "spec", "template"),
			at(decoded(t, rendered, "cleanup/job.yaml")[0], "spec", "template"),
			decoded(t, rendered, "tests/status.yaml")[0],
		} {
			if label := at(object, "metadata", "labels", "acr-credential-helper.io/inject"); label != "false" {
				t.Errorf("%v has the label %v", at(object, "kind"), label)
			}
		}
		selector := at(decoded(t, rendered, "sidecar/deployment.yaml")[0], "spec", "selector", "matchLabels")
		if fmt.Sprint(selector) != "map[app.kubernetes.io/name:acr-credential-sidecar]" {
			t.Errorf("the selector, which no upgrade may change, is %v", selector)
		}
	}
}

func TestTheOtherCommandsMayGoWhereTheSidecarMay(t *testing.T) {
	for _, test := range []struct{ values, pods string }{
		{"networkPolicy: {enabled: true}", "acr-credential-sidecar acr-credential-sidecar-cleanup acr-credential-sidecar-test"},
		{"{networkPolicy: {enabled: true}, cleanup: {enabled: false}}", "acr-credential-sidecar acr-credential-sidecar-test"},
		{"{networkPolicy: {enabled: true}, helmTest: {enabled: false}}", "acr-credential-sidecar acr-credential-sidecar-cleanup"},
	} {
		rendered, err := renderWith(test.values)
		if err != nil {
			t.Fatal(err)
		}
		var pods []string
		for _, policy := range decoded(t, rendered, "sidecar/networkpolicy.yaml") {
			pods = append(pods, fmt.Sprint(at(policy, "spec", "podSelector", "matchLabels", "app.kubernetes.io/name")))
			if egress, _ := at(policy, "spec", "egress").([]any); len(egress) != 3 {
				t.Errorf("the way out is %v", egress)
			}
		}
		if found := strings.Join(pods, " "); found != test.pods {
			t.Errorf("with %s there are policies for %s", test.values, found)
		}
	}
}

func TestTheNetworkPolicyLetsInThoseThatAreNamedAndNobodyElse(t *testing.T) {
	for _, test := range []struct{ from, ingress string }{
		{"[]", "[]"},
		{"[{podSelector: {}}]", "[map[from:[map[podSelector:map[]]] ports:[map[port:http protocol:TCP]]]]"},
	} {
		rendered, err := renderWith("networkPolicy: {enabled: true, metricsFrom: " + test.from + "}")
		if err != nil {
			t.Fatal(err)
		}
		policy := decoded(t, rendered, "sidecar/networkpolicy.yaml")[0]
		for _, part := range []struct{ key, expected string }{
			{"policyTypes", "[Ingress Egress]"},
			{"ingress", test.ingress},
		} {
			if found := fmt.Sprint(at(policy, "spec", part.key)); found != part.expected {
				t.Errorf("with metricsFrom %s, %s is %s", test.from, part.key, found)
			}
		}
	}
}

func TestTheFenceLetsTheSidecarTakeOverSecretsOnlyWhereItIsTold(t *testing.T) {
	for values, isRefused := range map[string]bool{"{}": true, "adopt: true": false} {
		rendered, err := renderWith(values)
		if err != nil {
			t.Fatal(err)
		}
		const message = "the sidecar may not take over a Secret that others created"
		if strings.Contains(rendered["sidecar/fence.yaml"], message) != isRefused {
			t.Errorf("%s: the fence is wrong:\n%s", values, rendered["sidecar/fence.yaml"])
		}
	}
}

func TestValuesThatCanBeMeantAreTaken(t *testing.T) {
	for _, values := range []string{
		"metrics: {podMonitor: {enabled: true, interval: 1m30s, scrapeTimeout: 90s}}",
		"global: {imageRegistry: 'registry.example.com:5000/mirror', cattle: {clusterId: c-1}, of: others}",
		"global: {cattle: null}",
		"strategy: {type: Recreate}",
		"{imagePullSecrets: null, metrics: {podMonitor: {interval: null, scrapeTimeout: 1s}, serviceMonitor: {scrapeTimeout: null}}}",
		"namespaceSelector: [{key: a, operator: Exists, values: []}]",
		`namespaceSelector: [{key: example.com/a_B.c, operator: In, values: ["", A.b_c]}]`,
		"expiringThreshold: 1m",
		"expiringThreshold: 11h59m60s",
		"expiringThreshold: 1.5h",
		`registries: [{domains: ["a.example.com:65535", "localhost:1"]}]`,
		"registries: [{domains: [a.example.com], namespaces: [x]}, {domains: [a.example.com], namespaces: [b]}]",
		`{namespaces: [a], excludedNamespaces: [all]}`,
		"registries: [{}, {regionId: cn-hangzhou, assumeRoleARN: 'acs:ram::1:role/a'}, {regionId: cn-hangzhou-finance}]",
		"registries: [{namespaces: [a]}, {namespaces: [b], assumeRoleARN: 'acs:ram::1:role/a'}]",
		`extraArgs: ["--acr-endpoint=https://acr.example.com", "--sts-endpoint=https://sts.example.com"]`,
	} {
		if _, err := renderWith(values); err != nil {
			t.Errorf("%s: %v", values, err)
		}
	}
}
