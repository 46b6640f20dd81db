package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestTheClosestRegistryCounts(t *testing.T) {
	const (
		chart  = "imageRegistry: a.example.com/mirror/"
		global = "imageRegistry: b.example.com"
		cattle = "cattle: {systemDefaultRegistry: 'c.example.com:5000'}"
	)
	for _, test := range []struct{ values, registry string }{
		{"{}", "ghcr.io/acr-credential-helper"},
		{"imageRegistry: ghcr.io/fork", "ghcr.io/fork"},
		{"{" + chart + ", global: {" + global + ", " + cattle + "}}", "a.example.com/mirror"},
		{"global: {" + global + ", " + cattle + "}", "b.example.com/acr-credential-helper"},
		{"global: {imageRegistry: '', " + cattle + "}", "c.example.com:5000/acr-credential-helper"},
		{"global: {imageRegistry: b.example.com/proxy/}", "b.example.com/proxy/acr-credential-helper"},
		{"global: {cattle: {systemDefaultRegistry: ''}}", "ghcr.io/acr-credential-helper"},
	} {
		rendered, err := renderWith(test.values)
		if err != nil {
			t.Fatal(err)
		}
		image := test.registry + "/acr-credential-sidecar:v0.1.0"
		for _, pod := range pods(t, rendered) {
			if found := at(pod, "spec", "containers", "0", "image"); found != image {
				t.Errorf("%s: the image is %v", test.values, found)
			}
		}
		for _, policy := range []string{"inject", "guard"} {
			module := at(decoded(t, rendered, "policies/"+policy+".yaml")[0], "spec", "module")
			if module != "registry://"+test.registry+"/acr-credential-helper-policy:v0.1.0" {
				t.Errorf("%s: the module is %v", test.values, module)
			}
		}
	}
}

// pods are the Pods of the chart: of the Deployment, of the cleanup and of the test.
func pods(t *testing.T, rendered map[string]string) []any {
	t.Helper()
	return []any{
		at(decoded(t, rendered, "sidecar/deployment.yaml")[0], "spec", "template"),
		at(decoded(t, rendered, "cleanup/job.yaml")[0], "spec", "template"),
		decoded(t, rendered, "tests/status.yaml")[0],
	}
}

// checkPods compares what is in each Pod at a path of keys.
func checkPods(t *testing.T, values string, expected string, path ...string) {
	t.Helper()
	rendered, err := renderWith(values)
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods(t, rendered) {
		if found := fmt.Sprint(at(pod, path...)); found != expected {
			t.Errorf("%s: %s is %s", values, strings.Join(path, "."), found)
		}
	}
}

func TestPullSecretsOfAllChartsAreAddedToOurs(t *testing.T) {
	const path = "imagePullSecrets"
	checkPods(t, "{}", "<nil>", "spec", path)
	checkPods(t, "imagePullSecrets: [{name: a}]", "[map[name:a]]", "spec", path)
	checkPods(t, "global: {imagePullSecrets: [a, {name: b}]}", "[map[name:a] map[name:b]]", "spec", path)
	both := "{global: {imagePullSecrets: [a, b]}, imagePullSecrets: [{name: b}, {name: c}]}"
	checkPods(t, both, "[map[name:a] map[name:b] map[name:c]]", "spec", path)
}

func TestNullLeavesTheIdsToOpenShift(t *testing.T) {
	const values = "podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}"
	checkPods(t, values, "map[runAsNonRoot:true seccompProfile:map[type:RuntimeDefault]]", "spec", "securityContext")
	checkPods(t, "podSecurityContext: {runAsUser: 1000}", "1000", "spec", "securityContext", "runAsUser")
	container := []string{"spec", "containers", "0", "securityContext"}
	checkPods(t, "securityContext: {runAsUser: 2000}", "map[allowPrivilegeEscalation:false capabilities:map[drop:[ALL]] readOnlyRootFilesystem:true runAsUser:2000]", container...)
	checkPods(t, "securityContext: {readOnlyRootFilesystem: null}", "map[allowPrivilegeEscalation:false capabilities:map[drop:[ALL]]]", container...)
}

func TestCommonAnnotationsAreOnEveryObjectAndReplaceNone(t *testing.T) {
	const common = "\ncommonAnnotations: {example.com/contact: us, helm.sh/hook: us, io.kubewarden.policy.severity: us}\n"
	everything := strings.Replace(read(t, "charts/acr-credential-helper/ci/everything-values.yaml"), "\ncommonAnnotations: {example.com/contact: platform}\n", common, 1)
	rendered, err := renderWith(everything)
	if err != nil {
		t.Fatal(err)
	}
	objects := 0
	for template := range rendered {
		if template == "extra.yaml" {
			continue
		}
		for _, object := range decoded(t, rendered, template) {
			objects++
			if at(object, "metadata", "annotations", "example.com/contact") != "us" {
				t.Errorf("%s: %v %v lacks the annotation", template, object["kind"], at(object, "metadata", "name"))
			}
		}
	}
	if objects < 20 {
		t.Errorf("there are %d objects only", objects)
	}
	checkTexts(t, []text{
		{decoded(t, rendered, "tests/status.yaml")[0], []string{"metadata", "annotations", "helm.sh/hook"}, "test"},
		{decoded(t, rendered, "cleanup/job.yaml")[0], []string{"metadata", "annotations", "helm.sh/hook"}, "pre-delete"},
		{decoded(t, rendered, "policies/guard.yaml")[0], []string{"metadata", "annotations", "io.kubewarden.policy.severity"}, "low"},
	})
}

func TestExtraObjectsAreTemplates(t *testing.T) {
	rendered, err := renderWith(`
extraObjects:
  - {apiVersion: v1, kind: Secret, metadata: {name: "{{ .Values.pullSecret }}-a"}}
  - |
    {{- range list "b" "c" }}
    ---
    {apiVersion: v1, kind: Secret, metadata: {name: {{ . }}, namespace: {{ $.Release.Namespace }}}}
    {{- end }}
`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, object := range decoded(t, rendered, "extra.yaml") {
		names = append(names, fmt.Sprint(at(object, "metadata", "name"), "/", at(object, "metadata", "namespace")))
	}
	if found := strings.Join(names, " "); found != "acr-credential-secret-aggregation-a/<nil> b/kube-system c/kube-system" {
		t.Errorf("the objects are %s", found)
	}
}
