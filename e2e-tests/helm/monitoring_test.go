package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestMonitorsReadTheReleaseFromAnyNamespace(t *testing.T) {
	const values = `
metrics:
  podMonitor: &monitor
    enabled: true
    interval: 1m
    scrapeTimeout: 20s
    relabelings: [{targetLabel: a, replacement: b}]
    metricRelabelings: [{regex: process_.*, sourceLabels: [__name__], action: drop}]
    namespace: monitoring
  serviceMonitor: *monitor
  prometheusRule: {enabled: true, namespace: monitoring}
  dashboard: {enabled: true, namespace: monitoring}
`
	rendered, err := renderWith(values)
	if err != nil {
		t.Fatal(err)
	}
	services := decoded(t, rendered, "monitoring/servicemonitor.yaml")
	if found := at(services[0], "metadata", "namespace"); found != "kube-system" {
		t.Errorf("the Service is in %v", found)
	}
	const endpoint = "map[interval:1m metricRelabelings:[map[action:drop regex:process_.* sourceLabels:[__name__]]] path:/metrics port:http " +
		"relabelings:[map[replacement:b targetLabel:a]] scrapeTimeout:20s]"
	for object, endpoints := range map[*map[string]any]string{
		&decoded(t, rendered, "monitoring/podmonitor.yaml")[0]: "podMetricsEndpoints",
		&services[1]: "endpoints",
	} {
		if found := fmt.Sprint(at(*object, "spec", endpoints, "0")); found != endpoint {
			t.Errorf("%s: %s", endpoints, found)
		}
		if found := fmt.Sprint(at(*object, "spec", "namespaceSelector", "matchNames")); found != "[kube-system]" {
			t.Errorf("%s: the namespaces are %s", endpoints, found)
		}
	}
	for _, template := range []string{"podmonitor", "prometheusrule", "dashboard"} {
		if found := at(decoded(t, rendered, "monitoring/"+template+".yaml")[0], "metadata", "namespace"); found != "monitoring" {
			t.Errorf("%s is in %v", template, found)
		}
	}
	if found := at(services[1], "metadata", "namespace"); found != "monitoring" {
		t.Errorf("the ServiceMonitor is in %v", found)
	}
}

func TestEveryAlertLeadsToASectionOfAPage(t *testing.T) {
	rendered, err := render("ci/everything-values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules, _ := at(decoded(t, rendered, "monitoring/prometheusrule.yaml")[0], "spec", "groups", "0", "rules").([]any)
	if len(rules) == 0 {
		t.Fatal("there are no rules")
	}
	for _, rule := range rules {
		url := fmt.Sprint(at(rule, "annotations", "runbook_url"))
		page, anchor, _ := strings.Cut(strings.TrimPrefix(url, repository+"/blob/main/"), "#")
		text := read(t, page)
		from := strings.Index(text, "\n## "+strings.ToUpper(anchor[:1])+anchor[1:]+"\n")
		if from < 0 {
			t.Errorf("%v: %s has no section %s", at(rule, "alert"), page, anchor)
			continue
		}
		section, _, _ := strings.Cut(text[from+1:], "\n## ")
		if !strings.Contains(section, fmt.Sprintf("| `%v` |", at(rule, "alert"))) {
			t.Errorf("%s does not say what to do about %v", url, at(rule, "alert"))
		}
	}
}

// repository is where the documentation is published.
const repository = "https://github.com/acr-credential-helper/acr-credential-helper"

func TestGrafanaFindsTheDashboard(t *testing.T) {
	rendered, err := renderWith("metrics: {dashboard: {enabled: true, labels: {more: labels}, annotations: {grafana_folder: Platform}}}")
	if err != nil {
		t.Fatal(err)
	}
	configMap := decoded(t, rendered, "monitoring/dashboard.yaml")[0]
	checkTexts(t, []text{
		{configMap, []string{"metadata", "labels", "grafana_dashboard"}, "1"},
		{configMap, []string{"metadata", "labels", "more"}, "labels"},
		{configMap, []string{"metadata", "annotations", "grafana_folder"}, "Platform"},
		{configMap, []string{"metadata", "namespace"}, "kube-system"},
	})
	content, _ := at(configMap, "data", "acr-credential-helper.json").(string)
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Type string }
		}
		Panels []struct {
			ID         int
			Type       string
			Title      string
			Datasource struct{ UID string }
			GridPos    struct{ X, Y, W, H int }
			Targets    []struct {
				Expr       string
				Datasource struct{ UID string }
			}
		}
	}
	if err := json.Unmarshal([]byte(content), &dashboard); err != nil {
		t.Fatal(err)
	}
	if variables := dashboard.Templating.List; len(variables) != 1 || variables[0].Name != "datasource" || variables[0].Type != "datasource" {
		t.Errorf("the variables are %v", variables)
	}
	var ids []int
	taken := map[[2]int]string{}
	for _, panel := range dashboard.Panels {
		if slices.Contains(ids, panel.ID) {
			t.Errorf("two panels have the id %d", panel.ID)
		}
		ids = append(ids, panel.ID)
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok || x >= 24 {
					t.Fatalf("%s has no room besides %s", panel.Title, other)
				}
				taken[[2]int{x, y}] = panel.Title
			}
		}
		if panel.Type == "row" {
			continue
		}
		if len(panel.Targets) == 0 || panel.Datasource.UID != "${datasource}" {
			t.Errorf("%s reads %v of %s", panel.Title, panel.Targets, panel.Datasource.UID)
		}
		for _, target := range panel.Targets {
			if target.Datasource.UID != "${datasource}" || target.Expr == "" {
				t.Errorf("%s reads %q of %s", panel.Title, target.Expr, target.Datasource.UID)
			}
		}
	}
	if len(ids) < 10 {
		t.Errorf("there are %d panels only", len(ids))
	}
}
