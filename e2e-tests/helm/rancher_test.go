package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// question is one of Rancher's form.
type question struct {
	Variable          string     `json:"variable"`
	Label             string     `json:"label"`
	Group             string     `json:"group"`
	Type              string     `json:"type"`
	Default           any        `json:"default"`
	Options           []string   `json:"options"`
	ShowSubquestionIf any        `json:"show_subquestion_if"`
	Subquestions      []question `json:"subquestions"`
	Description       string     `json:"description"`
	Required          bool       `json:"required"`
}

func TestRancherAsksForValuesThatThereAreAndShowsTheirDefaults(t *testing.T) {
	var form struct {
		Questions []question `json:"questions"`
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, "charts/acr-credential-helper/questions.yaml")), &form); err != nil {
		t.Fatal(err)
	}
	var values, schema map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "charts/acr-credential-helper/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(read(t, "charts/acr-credential-helper/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	var asked []string
	var check func(question)
	check = func(question question) {
		name := question.Variable
		path := strings.Split(name, ".")
		value := at(values, path...)
		if value == nil {
			t.Errorf("there is no value %s", name)
			return
		}
		if slices.Contains(asked, name) {
			t.Errorf("%s is asked for twice", name)
		}
		asked = append(asked, name)
		if name == "policies.policyServer.namespace" {
			value = "cattle-kubewarden-system" // Where Rancher installs Kubewarden.
		}
		if !reflect.DeepEqual(value, question.Default) {
			t.Errorf("%s is %v by default, not %v", name, value, question.Default)
		}
		types := map[string]string{"string": "string", "enum": "string", "boolean": "bool", "array[": "[]interface {}"}
		if found := fmt.Sprintf("%T", value); types[question.Type] != found {
			t.Errorf("%s is a %s, and the question a %s", name, found, question.Type)
		}
		if described := options(t, schema, path); !slices.Equal(described, question.Options) {
			t.Errorf("%s can be %v, not %v", name, described, question.Options)
		}
		if question.Label == "" {
			t.Errorf("%s has no label", name)
		}
		for _, more := range question.Subquestions {
			check(more)
		}
	}
	for _, question := range form.Questions {
		if question.Group == "" {
			t.Errorf("%s is in no group", question.Variable)
		}
		check(question)
	}
	if len(asked) < 15 {
		t.Errorf("there are %d questions only", len(asked))
	}
}

// options are what a value can be, if that is a closed set.
func options(t *testing.T, schema map[string]any, path []string) []string {
	t.Helper()
	for _, key := range path {
		schema, _ = at(schema, "properties", key).(map[string]any)
		if reference, ok := schema["$ref"].(string); ok {
			schema = definition(t, reference)
		}
	}
	var options []string
	listed, _ := schema["enum"].([]any)
	for _, option := range listed {
		options = append(options, fmt.Sprint(option))
	}
	return options
}

func TestRancherInstallsWhatThePagesInstall(t *testing.T) {
	var chart struct {
		KubeVersion string            `json:"kubeVersion"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "charts/acr-credential-helper/Chart.yaml")), &chart); err != nil {
		t.Fatal(err)
	}
	name, namespace := chart.Annotations["catalog.cattle.io/release-name"], chart.Annotations["catalog.cattle.io/namespace"]
	command := fmt.Sprintf("$ helm install %s charts/acr-credential-helper --namespace %s ", name, namespace)
	if !strings.Contains(read(t, "docs/install.md"), command) {
		t.Errorf("docs/install.md does not have %q", command)
	}
	if found := chart.Annotations["catalog.cattle.io/kube-version"]; found != chart.KubeVersion {
		t.Errorf("Rancher's versions of Kubernetes are %s, not %s", found, chart.KubeVersion)
	}
}
