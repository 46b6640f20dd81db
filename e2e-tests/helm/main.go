// Command helm writes what is made out of the chart, and tests the chart without a
// cluster. `make chart` runs it.
//
// Its module also pins the two tools that the Makefile builds beside it: Helm itself,
// and helm-docs.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// root is the repository, from this directory.
const root = "../.."

func main() {
	files, err := generated()
	if err == nil {
		err = write(files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// generated is everything that is made out of the chart, by paths in the repository.
func generated() (map[string]string, error) {
	files, err := manifests()
	if err != nil {
		return nil, err
	}
	shots, err := snapshots()
	if err != nil {
		return nil, err
	}
	for path, text := range shots {
		files[path] = text
	}
	return files, nil
}

func write(files map[string]string) error {
	for path, text := range files {
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	return nil
}

// deployed says which templates make up each file of deploy/, in this order.
var deployed = map[string][]string{
	"inject.yaml":          {"policies/inject.yaml"},
	"guard.yaml":           {"policies/guard.yaml"},
	"serviceaccounts.yaml": {"policies/serviceaccounts.yaml"},
	"rbac.yaml":            {"policies/rbac.yaml"},
	"sidecar.yaml": {
		"sidecar/serviceaccount.yaml",
		"sidecar/rbac.yaml",
		"sidecar/deployment.yaml",
		"sidecar/poddisruptionbudget.yaml",
	},
	"sidecar-fence.yaml":                 {"sidecar/fence.yaml"},
	"sidecar-configuration.example.yaml": {"sidecar/configuration.yaml"},
}

// undeployed are the templates that the plain manifests do without: they only mean
// something to Helm, or are switched off until somebody asks for them.
var undeployed = []string{
	"cleanup/job.yaml",
	"cleanup/rbac.yaml",
	"extra.yaml",
	"monitoring/dashboard.yaml",
	"monitoring/podmonitor.yaml",
	"monitoring/prometheusrule.yaml",
	"monitoring/servicemonitor.yaml",
	"sidecar/networkpolicy.yaml",
	"tests/status.yaml",
}

// manifests are the files of deploy/, with the comments of the templates.
func manifests() (map[string]string, error) {
	rendered, err := render("ci/manifests-values.yaml")
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for file, templates := range deployed {
		var documents []string
		for _, template := range templates {
			text, ok := rendered[template]
			if !ok {
				return nil, fmt.Errorf("there is no template %s", template)
			}
			documents = append(documents, text)
		}
		files["deploy/"+file] = strings.Join(documents, "---\n")
	}
	return files, nil
}

// cases are the values whose whole rendering is kept, so that a change of the chart
// shows in a review what it does.
var cases = []string{"minimal", "everything"}

func snapshots() (map[string]string, error) {
	files := map[string]string{}
	for _, name := range cases {
		rendered, err := render("ci/" + name + "-values.yaml")
		if err != nil {
			return nil, err
		}
		var text strings.Builder
		for _, template := range slices.Sorted(keys(rendered)) {
			if document := withoutComments(rendered[template]); document != "" {
				fmt.Fprintf(&text, "---\n# %s\n%s", template, document)
			}
		}
		files["e2e-tests/helm/testdata/"+name+".yaml"] = text.String()
	}
	return files, nil
}

// withoutComments leaves out lines that are comments; deploy/ has them.
func withoutComments(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "#") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
