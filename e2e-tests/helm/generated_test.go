package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatIsMadeOutOfTheChartIsUpToDate(t *testing.T) {
	files, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		if read(t, path) != text {
			t.Errorf("%s is not what the chart renders: run `make chart`", path)
		}
	}
}

func TestTheReadmeIsMadeOutOfTheValues(t *testing.T) {
	docs, err := filepath.Abs("bin/helm-docs")
	if err != nil {
		t.Fatal(err)
	}
	// The flags of `make chart`.
	command := exec.Command(docs, "--chart-search-root=charts", "--skip-version-footer",
		"--sort-values-order=file", "--log-level=warning", "--dry-run")
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: run `make helm`", err)
	}
	if strings.TrimSpace(string(output)) != strings.TrimSpace(read(t, "charts/acr-credential-helper/README.md")) {
		t.Error("README.md of the chart is not what helm-docs makes: run `make chart`")
	}
}

func TestEveryTemplateIsInThePlainManifestsOrLeftOutOnPurpose(t *testing.T) {
	rendered, err := render("ci/everything-values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known := slices.Clone(undeployed)
	for _, templates := range deployed {
		known = append(known, templates...)
	}
	for template := range rendered {
		if !slices.Contains(known, template) {
			t.Errorf("%s is in no file of deploy/, and not among those that are left out", template)
		}
	}
	if len(rendered) != len(known) {
		t.Errorf("%d templates are rendered, %d are known", len(rendered), len(known))
	}
}

func TestPlainManifestsSayNothingOfHelm(t *testing.T) {
	files, err := manifests()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		for _, word := range []string{"helm.sh/", "managed-by: Helm", "app.kubernetes.io/instance"} {
			if strings.Contains(text, word) {
				t.Errorf("%s has %s", path, word)
			}
		}
	}
}

// ofKubernetes are values that are a part of a Pod or a Deployment: Kubernetes
// documents what is in them.
var ofKubernetes = []string{"resources", "podSecurityContext", "securityContext", "strategy", "dnsConfig"}

func TestEveryValueIsInTheSchemaAndInTheReadme(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "charts/acr-credential-helper/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(read(t, "charts/acr-credential-helper/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	readme := read(t, "charts/acr-credential-helper/README.md")
	var walk func(path string, value any, schema map[string]any)
	walk = func(path string, value any, schema map[string]any) {
		if reference, ok := schema["$ref"].(string); ok {
			schema = definition(t, reference)
		}
		properties, described := schema["properties"].(map[string]any)
		children, isMap := value.(map[string]any)
		// Maps with names of the user's own, such as labels.
		_, open := schema["additionalProperties"].(map[string]any)
		if !isMap || !described || open || slices.Contains(ofKubernetes, path) {
			if !strings.Contains(readme, "| "+path+" | ") || strings.Contains(readme, "| "+path+" | object |  |") {
				t.Errorf("%s is not in the README: give it a comment that begins with two dashes", path)
			}
			return
		}
		if schema["additionalProperties"] != false && !strings.HasPrefix(path, "global") {
			t.Errorf("the schema takes anything in %q", path)
		}
		for name, child := range children {
			property, ok := properties[name].(map[string]any)
			if !ok {
				t.Errorf("%s is not in the schema", join(path, name))
				continue
			}
			walk(join(path, name), child, property)
		}
		for name := range properties {
			_, ok := children[name]
			if !ok && path == "" && name == "enabled" {
				continue
			}
			if !ok {
				t.Errorf("%s is in the schema, but not in values.yaml", join(path, name))
			}
		}
	}
	walk("", values, schema)
	for line := range strings.Lines(readme) {
		if cells := strings.Split(line, " | "); len(cells) > 3 && strings.Trim(cells[len(cells)-1], " |\n") == "" {
			t.Errorf("a value has no description: %s", line)
		}
	}
}

func definition(t *testing.T, reference string) map[string]any {
	t.Helper()
	var schema struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal([]byte(read(t, "charts/acr-credential-helper/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	found, ok := schema.Definitions[strings.TrimPrefix(reference, "#/definitions/")]
	if !ok {
		t.Fatalf("there is no %s", reference)
	}
	return found
}

func join(path, name string) string {
	return strings.TrimPrefix(path+"."+name, ".")
}
