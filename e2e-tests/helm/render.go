package main

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/engine"
)

const chartDir = root + "/charts/acr-credential-helper"

// render renders the chart with a file of values, as `helm template` does: the text
// of each template by its path below templates/.
func render(valuesFile string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(chartDir, valuesFile))
	if err != nil {
		return nil, fmt.Errorf("reading values: %w", err)
	}
	return renderWith(string(text))
}

func renderWith(valuesYAML string) (map[string]string, error) {
	texts, err := renderAll(valuesYAML)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(texts, func(name, _ string) bool { return !strings.HasSuffix(name, ".yaml") })
	return texts, nil
}

// renderAll renders what is no manifest, too, such as NOTES.txt.
func renderAll(valuesYAML string) (map[string]string, error) {
	values, err := common.ReadValues([]byte(valuesYAML))
	if err != nil {
		return nil, fmt.Errorf("parsing values: %w", err)
	}
	chart, err := loader.Load(chartDir)
	if err != nil {
		return nil, fmt.Errorf("loading the chart: %w", err)
	}
	release := common.ReleaseOptions{
		Name:      "acr-credential-helper",
		Namespace: "kube-system",
		Revision:  1,
		IsInstall: true,
	}
	all, err := util.ToRenderValues(chart, values, release, common.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("checking values: %w", err)
	}
	texts, err := engine.Render(chart, all)
	if err != nil {
		return nil, fmt.Errorf("rendering: %w", err)
	}
	rendered := map[string]string{}
	for path, text := range texts {
		if _, name, ok := strings.Cut(path, "/templates/"); ok {
			rendered[name] = text
		}
	}
	return rendered, nil
}

func keys[V any](of map[string]V) iter.Seq[string] {
	return maps.Keys(of)
}
