package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestValuesThatCannotBeMeantAreRefused(t *testing.T) {
	for _, test := range []struct{ name, values, message string }{
		{"an unknown value", "registrys: []", "additional properties 'registrys' not allowed"},
		{"an unknown value further down", "policies: {guard: {failurepolicy: Fail}}", "'failurepolicy' not allowed"},
		{"an unknown key of a registry", "registries: [{regoinId: cn-hangzhou}]", "'regoinId' not allowed"},
		{"an access key", "registries: [{customAccessKey: LTAI5tEXAMPLE}]", "'customAccessKey' not allowed"},
		{"a region for an instance", "registries: [{instanceId: cn-hangzhou}]", "/registries/0/instanceId"},
		{"a placeholder", "registries: [{instanceId: cri-xxx}]", "registries[0].instanceId is a placeholder"},
		{"a newer Personal Edition", "registries: [{instanceId: crpi-0123}]", "/registries/0/instanceId"},
		{"a zone", "registries: [{regionId: cn-hangzhou-b}]", "cn-hangzhou-b is a zone, not a region: write only the region: cn-hangzhou"},
		{"a zone of another part of the world", "registries: [{regionId: ap-southeast-1a}]", "ap-southeast-1a is a zone, not a region: write only the region: ap-southeast-1"},
		{"an endpoint of another service", "registries: [{regionId: oss-cn-hangzhou}]", "/registries/0/regionId"},
		{"a zone of the cluster", "cloud: {region: cn-hangzhou-b}", "cn-hangzhou-b is a zone, not a region"},
		{"an upper-case region", "registries: [{regionId: CN-Hangzhou}]", "/registries/0/regionId"},
		{"a URL for a host", `registries: [{domains: ["https://a.example.com"]}]`, "/registries/0/domains/0"},
		{"a text for a list", "namespaces: default,team-a", "want array"},
		{"no namespaces", "namespaces: []", "minItems: got 0, want 1"},
		{"a namespace twice", "namespaces: [a, a]", "/namespaces"},
		{"another glob syntax", `namespaces: ["team-[ab]"]`, "/namespaces/0"},
		{"an upper-case name", "serviceAccounts: [Default]", "/serviceAccounts/0"},
		{"a glob for the pull secret", `pullSecret: "acr-*"`, "/pullSecret"},
		{"a quote in the pull secret", `pullSecret: "a' || 'b"`, "/pullSecret"},
		{"an unknown mode", "attach: pods", "value must be one of 'pod', 'service-account', 'both'"},
		{"a duration without a unit", `expiringThreshold: "15"`, "/expiringThreshold"},
		{"a mode that changes templates", "policies: {manualPullSecrets: {workloads: merge}}", "workloads"},
		{"a session that is too short", "registries: [{assumeRoleARN: 'acs:ram::1:role/a', expireDuration: 60}]", "minimum: got 60, want 900"},
		{"a session of nobody", "registries: [{expireDuration: 900}]", "expireDuration has no effect without a role"},
		{"the ARN of a user", "registries: [{assumeRoleARN: 'acs:ram::1:user/a'}]", "/registries/0/assumeRoleARN"},
		{"an external id of nobody", "registries: [{externalId: cluster-1}]", "assumeRoleARN"},
		{
			"RRSA of an entry that is not on",
			"registries: [{rrsaRoleARN: 'acs:ram::1:role/a', rrsaOIDCProviderRoleARN: 'acs:ram::1:oidc-provider/b'}]",
			"set rrsa.enabled to true",
		},
		{"half of RRSA", "rrsa: {enabled: true, roleARN: 'acs:ram::1:role/a'}", "/rrsa/oidcProviderARN"},
		{"RRSA that is not on", "rrsa: {roleARN: 'acs:ram::1:role/a', oidcProviderARN: 'acs:ram::1:oidc-provider/b'}", "/rrsa/roleARN"},
		{"the webhook without a role", "rrsa: {enabled: true, injection: webhook}", "/rrsa/roleName"},
		{"a role's name that nobody reads", "rrsa: {enabled: true, roleName: acr-puller}", "/rrsa/roleName"},
		{
			"two identities",
			"{rrsa: {enabled: true}, registries: [{accessKeySecretRef: k, rrsaRoleARN: 'acs:ram::1:role/a', rrsaOIDCProviderRoleARN: 'acs:ram::1:oidc-provider/b'}]}",
			"more than one identity",
		},
		{"a selector without values", "namespaceSelector: [{key: a, operator: In}]", "values"},
		{"a selector with values for nothing", "namespaceSelector: [{key: a, operator: Exists, values: [b]}]", "values"},
		{"a short digest", "image: {digest: 'sha256:abc'}", "/image/digest"},
		{"a registry with a scheme", "imageRegistry: https://ghcr.io/a", "/imageRegistry"},
		{"a registry of all charts with a scheme", "global: {imageRegistry: 'https://a.example.com'}", "/global/imageRegistry"},
		{"Rancher's registry with a scheme", "global: {cattle: {systemDefaultRegistry: 'https://a.example.com'}}", "/global/cattle/systemDefaultRegistry"},
		{"a text for pull secrets of all charts", "global: {imagePullSecrets: a}", "/global/imagePullSecrets"},
		{"an unknown field of a Pod's security", "podSecurityContext: {readOnlyRootFilesystem: true}", "'readOnlyRootFilesystem' not allowed"},
		{"an unknown field of a container's security", "securityContext: {fsGroup: 1}", "'fsGroup' not allowed"},
		{"a name for a user", "podSecurityContext: {runAsUser: root}", "/podSecurityContext/runAsUser"},
		{"parameters of another strategy", "strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}", "/strategy"},
		{"an unknown DNS policy", "dnsPolicy: Cluster", "/dnsPolicy"},
		{"a name for a name server", "dnsConfig: {nameservers: [dns.example.com]}", "/dnsConfig/nameservers/0"},
		{"an address without a host", "hostAliases: [{ip: 10.0.0.1}]", "hostnames"},
		{"an extra object that is none", "extraObjects: [{metadata: {name: a}}]", "/extraObjects/0"},
		{"a relabelling in Prometheus' own syntax", "metrics: {podMonitor: {relabelings: [{source_labels: [a]}]}}", "'source_labels' not allowed"},
		{
			"a timeout that is longer than the interval",
			"metrics: {serviceMonitor: {interval: 500ms, scrapeTimeout: 1s}}",
			"metrics.serviceMonitor.scrapeTimeout: 1s is longer than interval, 500ms",
		},
		{"a number for a label of the dashboard", "metrics: {dashboard: {labels: {grafana_dashboard: 1}}}", "/metrics/dashboard/labels/grafana_dashboard"},
		{"a label that decides which Pods are ours", "podLabels: {app.kubernetes.io/name: web}", "/podLabels"},
		{"no replicas", "replicas: 0", "minimum: got 0, want 1"},
		{"less time than the sidecar needs", "terminationGracePeriodSeconds: 5", "minimum: got 5, want 20"},
		{
			"two configurations",
			"{configuration: {existing: acr-configuration}, registries: [{instanceId: cri-0123}]}",
			"registries and configuration.existing are both set",
		},
		{
			"a threshold for somebody else's configuration",
			"{configuration: {existing: acr-configuration}, expiringThreshold: 20m}",
			"expiringThreshold and configuration.existing are both set",
		},
		{"a threshold that is too short", "expiringThreshold: 59s", "59s is not between 1m and 12h"},
		{"a threshold that is too long", "expiringThreshold: 12h0.5s", "is not between 1m and 12h"},
		{"a port that there is not", `registries: [{domains: ["a.example.com:65536"]}]`, "/registries/0/domains/0"},
		{"port 0", `registries: [{domains: ["a.example.com:0"]}]`, "/registries/0/domains/0"},
		{"everything, and nothing of it", `{namespaces: ["*"], excludedNamespaces: [all]}`, "all excludes everything that a glob in namespaces selects"},
		{"a glob that is excluded", `{namespaces: ["team-?", a], excludedNamespaces: ["team-?"]}`, "team-? excludes everything"},
		{"a label's value with a comma", `namespaceSelector: [{key: a, operator: In, values: ["b,c"]}]`, "/namespaceSelector/0/values/0"},
		{"a label's key with a space", `namespaceSelector: [{key: "a b", operator: Exists}]`, "/namespaceSelector/0/key"},
		{
			"a host of two registries",
			"registries: [{domains: [a.example.com], namespaces: [x]}, {domains: [b.example.com, a.example.com]}]",
			"registries[1].domains: a.example.com is also in registries[0]",
		},
		{
			"a host of two registries with the same namespace",
			"registries: [{domains: [a.example.com], namespaces: [x, b]}, {}, {domains: [a.example.com], namespaces: [z, b]}]",
			"registries[2].domains: a.example.com is also in registries[0]",
		},
		{
			"a host of two registries, one of which is for all",
			"registries: [{domains: [a.example.com], namespaces: [all]}, {domains: [a.example.com], namespaces: [b]}]",
			"registries[1].domains: a.example.com is also in registries[0]",
		},
		{
			"Personal Edition twice",
			"registries: [{}, {assumeRoleARN: 'acs:ram::1:role/a'}]",
			"registries[1] claims hosts of registries[0] with another identity",
		},
		{"the sidecar's own Secret", "pullSecret: acr-credential-sidecar-state", "is the Secret in which the sidecar keeps its state"},
		{"a number for the pull secret", "pullSecret: 123", "want string"},
		{"an argument that has a value", `extraArgs: ["--pull-secret=a"]`, "--pull-secret is set by the value pullSecret"},
		{"a switch that has a value", `extraArgs: ["--adopt"]`, "--adopt is set by the value adopt"},
		{"an argument that the probes rely on", `extraArgs: ["--listen=[::]:9090"]`, "the rest of the chart relies on the default of --listen"},
		{"a Pod that the policies look at", `podLabels: {acr-credential-helper.io/inject: "true"}`, "/podLabels"},
		{
			"two names of a role",
			"{rrsa: {enabled: true, injection: webhook, roleName: a}, serviceAccount: {annotations: {pod-identity.alibabacloud.com/role-name: b}}}",
			"both set the role: remove the annotation",
		},
		{"an interval without a unit", `metrics: {podMonitor: {interval: "30"}}`, "/metrics/podMonitor/interval"},
		{"an interval of nothing", `metrics: {podMonitor: {interval: ""}}`, "/metrics/podMonitor/interval"},
		{
			"two writers of service accounts",
			"{attach: both, policies: {serviceaccounts: {enabled: true}}}",
			"do the same: keep one of them",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := renderWith(test.values)
			if err == nil {
				t.Fatal("it is taken")
			}
			if !strings.Contains(err.Error(), test.message) {
				t.Errorf("the message lacks %q: %v", test.message, err)
			}
		})
	}
}

func TestValuesThatAreNullOrEmptyDoWhatThePageSays(t *testing.T) {
	_, table, found := strings.Cut(read(t, "docs/configuration.md"), "| Value | Left out | `null` | `[]` |\n|---|---|---|---|\n")
	if !found {
		t.Fatal("docs/configuration.md has no such table")
	}
	rendered := func(values string) (string, error) {
		templates, err := renderWith(values)
		return templates["sidecar/configuration.yaml"] + templates["policies/inject.yaml"], err
	}
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) != 4 {
			break
		}
		rows++
		value := strings.Trim(cells[0], "`")
		for form, says := range map[string]string{"null": cells[2], "[]": cells[3]} {
			// A value of a registry, of a map, or of the chart.
			values, base := fmt.Sprintf("{%s: %s}", value, form), "{}"
			if key, of := strings.CutPrefix(value, "registries[]."); of {
				values, base = fmt.Sprintf("registries: [{regionId: cn-hangzhou, %s: %s}]", key, form), "registries: [{regionId: cn-hangzhou}]"
			} else if outer, key, of := strings.Cut(value, "."); of {
				values = fmt.Sprintf("{%s: {%s: %s}}", outer, key, form)
			}
			text, err := rendered(values)
			switch says {
			case "refused":
				name := value[strings.LastIndex(value, ".")+1:]
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%s: %v", values, err)
				}
			case "as left out":
				expected, _ := rendered(base)
				if err != nil || strings.ReplaceAll(text, "registries: null", "registries: []") != expected {
					t.Errorf("%s: %v\n%s", values, err, text)
				}
			case "excludes nothing":
				if err != nil || !strings.Contains(text, `exclude-namespace: ""`) || !strings.Contains(text, "excludedNamespaces: []") {
					t.Errorf("%s: %v\n%s", values, err, text)
				}
			default:
				t.Errorf("the page says %q of %s", says, values)
			}
		}
	}
	if rows != 8 {
		t.Errorf("the table has %d rows", rows)
	}
}

// spec is the part of a rendered object that a test looks at.
type spec struct {
	Spec struct {
		NamespaceSelector struct {
			MatchExpressions []struct {
				Key      string   `json:"key"`
				Operator string   `json:"operator"`
				Values   []string `json:"values"`
			} `json:"matchExpressions"`
		} `json:"namespaceSelector"`
	} `json:"spec"`
}

func TestTheSelectorOfThePoliciesLetsThroughWhatTheSettingsSelect(t *testing.T) {
	for _, test := range []struct{ name, values, operator, names string }{
		{"names", "namespaces: [team-a, team-b]", "In", "team-a team-b"},
		{"a glob", `namespaces: ["team-*"]`, "NotIn", "kube-system kube-public kube-node-lease"},
		{"the word all", "namespaces: [all]", "NotIn", "kube-system kube-public kube-node-lease"},
		{"an exact name that beats an exclusion", `namespaces: ["*", kube-system]`, "NotIn", "kube-public kube-node-lease"},
		{"an exclusion that is a glob", `{namespaces: ["?-*"], excludedNamespaces: [scratch, "kube-*"]}`, "NotIn", "scratch"},
		{"globs and no exclusion", `{namespaces: ["*"], excludedNamespaces: []}`, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			rendered, err := renderWith(test.values + "\n")
			if err != nil {
				t.Fatal(err)
			}
			for _, policy := range []string{"inject", "guard"} {
				var object spec
				if err := yaml.Unmarshal([]byte(rendered["policies/"+policy+".yaml"]), &object); err != nil {
					t.Fatal(err)
				}
				operator, names := "", ""
				for _, expression := range object.Spec.NamespaceSelector.MatchExpressions {
					if expression.Key == "kubernetes.io/metadata.name" {
						operator, names = expression.Operator, strings.Join(expression.Values, " ")
					}
				}
				if operator != test.operator || names != test.names {
					t.Errorf("%s has %s [%s]", policy, operator, names)
				}
			}
		})
	}
}

func TestWhatIsSwitchedOffIsNotRendered(t *testing.T) {
	for _, test := range []struct{ values, absent string }{
		{"policies: {enabled: false}", "policies/inject.yaml policies/guard.yaml policies/rbac.yaml"},
		{"policies: {readServiceAccounts: false}", "policies/rbac.yaml"},
		{"policies: {guard: {enabled: false}}", "policies/guard.yaml"},
		{"attach: service-account", "policies/inject.yaml policies/rbac.yaml"},
		{"{}", "policies/serviceaccounts.yaml sidecar/networkpolicy.yaml monitoring/podmonitor.yaml monitoring/servicemonitor.yaml monitoring/prometheusrule.yaml monitoring/dashboard.yaml extra.yaml"},
		{"helmTest: {enabled: false}", "tests/status.yaml"},
		{"fence: {enabled: false}", "sidecar/fence.yaml"},
		{"cleanup: {enabled: false}", "cleanup/job.yaml cleanup/rbac.yaml"},
		{"replicas: 1", "sidecar/poddisruptionbudget.yaml"},
		{"rbac: {create: false}", "sidecar/rbac.yaml"},
		{"serviceAccount: {create: false, name: mine}", "sidecar/serviceaccount.yaml"},
		{"configuration: {existing: acr-configuration}", "sidecar/configuration.yaml"},
	} {
		t.Run(test.values, func(t *testing.T) {
			rendered, err := renderWith(test.values)
			if err != nil {
				t.Fatal(err)
			}
			for _, template := range strings.Fields(test.absent) {
				if text := withoutComments(rendered[template]); text != "" {
					t.Errorf("%s is rendered:\n%s", template, text)
				}
			}
			if withoutComments(rendered["sidecar/deployment.yaml"]) == "" {
				t.Error("there is no sidecar")
			}
		})
	}
}

func TestTheGuardKnowsWhetherAnythingAddsThePullSecretToPods(t *testing.T) {
	for _, test := range []struct {
		values    string
		ownedPods string
		workloads any
	}{
		{"{}", "merge", nil},
		{"policies: {manualPullSecrets: {ownedPods: reject}}", "reject", nil},
		{"policies: {manualPullSecrets: {workloads: ignore}}", "merge", "ignore"},
		{"attach: both", "merge", nil},
		{"attach: service-account", "ignore", nil},
		{"policies: {inject: {enabled: false}}", "ignore", nil},
		{"policies: {mode: monitor}", "ignore", nil},
		{"policies: {mode: monitor, manualPullSecrets: {ownedPods: warn, workloads: warn}}", "ignore", "warn"},
	} {
		t.Run(test.values, func(t *testing.T) {
			rendered, err := renderWith(test.values)
			if err != nil {
				t.Fatal(err)
			}
			guard := decoded(t, rendered, "policies/guard.yaml")[0]
			manual := []string{"spec", "settings", "manualPullSecrets"}
			if found := at(guard, append(manual, "ownedPods")...); found != test.ownedPods {
				t.Errorf("ownedPods is %v", found)
			}
			if found := at(guard, append(manual, "workloads")...); found != test.workloads {
				t.Errorf("workloads is %v", found)
			}
		})
	}
}

func TestTheFenceStandsAroundTheAccountsThatMayWrite(t *testing.T) {
	for _, test := range []struct{ values, account string }{
		{"{}", "acr-credential-sidecar"},
		{"{}", "acr-credential-sidecar-cleanup"},
		{"serviceAccount: {name: mine}", "mine"},
	} {
		rendered, err := renderWith(test.values)
		if err != nil {
			t.Fatal(err)
		}
		condition := "request.userInfo.username == 'system:serviceaccount:kube-system:" + test.account + "'"
		if count := strings.Count(rendered["sidecar/fence.yaml"], condition); count != 2 {
			t.Errorf("%s is in %d of two policies", test.account, count)
		}
	}
}

func TestTheWebhookOfTheClusterGetsTheRoleAndNothingIsProjected(t *testing.T) {
	rendered, err := renderWith("rrsa: {enabled: true, injection: webhook, roleName: acr-puller}")
	if err != nil {
		t.Fatal(err)
	}
	account := decoded(t, rendered, "sidecar/serviceaccount.yaml")[0]
	if at(account, "metadata", "annotations", "pod-identity.alibabacloud.com/role-name") != "acr-puller" {
		t.Error("the service account does not name the role")
	}
	if strings.Contains(rendered["sidecar/deployment.yaml"], "serviceAccountToken") {
		t.Error("a token is projected besides that of the webhook")
	}
	if !strings.Contains(rendered["sidecar/configuration.yaml"], "enable: true") {
		t.Error("RRSA is not switched on in the configuration")
	}
}

func TestAlertsReadMetricsThatAreDocumented(t *testing.T) {
	rendered, err := render("ci/everything-values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documented := read(t, "docs/operations.md")
	metrics := regexp.MustCompile(`acr_credential_sidecar_(\w+)`).FindAllStringSubmatch(rendered["monitoring/prometheusrule.yaml"], -1)
	if len(metrics) < 7 {
		t.Errorf("there are %d metrics only", len(metrics))
	}
	for _, metric := range metrics {
		if !strings.Contains(documented, "| `"+metric[1]+"` |") {
			t.Errorf("%s is not in docs/operations.md", metric[1])
		}
	}
}

func TestAlertsAreDocumented(t *testing.T) {
	rendered, err := render("ci/everything-values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documented := read(t, "docs/operations.md")
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(rendered["monitoring/prometheusrule.yaml"], -1)
	rows := regexp.MustCompile("(?m)^\\| `Acr\\w+` \\|").FindAllString(documented, -1)
	if len(alerts) == 0 || len(alerts) != len(rows) {
		t.Errorf("there are %d alerts, and %d in docs/operations.md", len(alerts), len(rows))
	}
	for _, alert := range alerts {
		if !strings.Contains(documented, "| `"+alert[1]+"` |") {
			t.Errorf("%s is not in docs/operations.md", alert[1])
		}
	}
}

func TestVersionsAndNamesOfPublicationAgree(t *testing.T) {
	version := regexp.MustCompile(`(?m)^version = "(.*)"$`).FindStringSubmatch(read(t, "Cargo.toml"))
	if version == nil {
		t.Fatal("Cargo.toml has no version")
	}
	chart := read(t, "charts/acr-credential-helper/Chart.yaml")
	rendered, err := render("ci/minimal-values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	image := "ghcr.io/acr-credential-helper/acr-credential-sidecar:v" + version[1]
	module := "ghcr.io/acr-credential-helper/acr-credential-helper-policy"
	for _, test := range []struct{ where, text, has string }{
		{"Chart.yaml", chart, "\nversion: " + version[1] + "\n"},
		{"Chart.yaml", chart, "\nappVersion: " + version[1] + "\n"},
		{"Chart.yaml", chart, "image: " + image + "\n"},
		{"the Deployment", rendered["sidecar/deployment.yaml"], "image: " + image + "\n"},
		{"the Job", rendered["cleanup/job.yaml"], "image: " + image + "\n"},
		{"the policy", rendered["policies/inject.yaml"], "module: registry://" + module + ":v" + version[1] + "\n"},
		{"metadata.yml", read(t, "metadata.yml"), "ociUrl: " + module + "\n"},
	} {
		if !strings.Contains(test.text, test.has) {
			t.Errorf("%s lacks %q", test.where, test.has)
		}
	}
}
