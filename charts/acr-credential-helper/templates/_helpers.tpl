{{/*
Names. They are fixed, because the sidecar finds its policies by their names, reports missing rights with the name of the role, and
exists only once in a cluster.
*/}}
{{- define "acr.sidecar" -}}
acr-credential-sidecar
{{- end }}

{{- define "acr.test" -}}
acr-credential-sidecar-test
{{- end }}

{{- define "acr.account" -}}
{{ required "serviceAccount.name must not be empty" .Values.serviceAccount.name }}
{{- end }}

{{- define "acr.configMap" -}}
{{ .Values.configuration.existing | default "acr-configuration" }}
{{- end }}

{{/* The username of the sidecar's service account in Kubernetes. */}}
{{- define "acr.username" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "acr.account" . }}
{{- end }}

{{/* Merges maps. Takes a list of maps; if two have the same key, the later one takes precedence. */}}
{{- define "acr.merged" -}}
{{- $all := dict }}
{{- range . }}
{{- range $key, $value := . }}{{ $_ := set $all $key $value }}{{ end }}
{{- end }}
{{- toYaml $all }}
{{- end }}

{{/* Labels and annotations of an object. Takes a dict of `name`, `root`, and `labels` and `annotations` if the object has its own. */}}
{{- define "acr.metadata" -}}
{{- $ours := dict "app.kubernetes.io/name" .name "app.kubernetes.io/part-of" "acr-credential-helper" }}
{{- $helms := dict }}
{{- if .root.Values.helmLabels }}
  {{- $helms = dict
    "app.kubernetes.io/instance" .root.Release.Name
    "app.kubernetes.io/version" .root.Chart.AppVersion
    "app.kubernetes.io/managed-by" .root.Release.Service
    "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- end }}
{{- $annotations := include "acr.merged" (list .root.Values.commonAnnotations .annotations) -}}
labels:
  {{- include "acr.merged" (list $ours $helms .root.Values.commonLabels .labels) | nindent 2 }}
{{- if ne $annotations "{}" }}
annotations:
  {{- $annotations | nindent 2 }}
{{- end }}
{{- end }}

{{- define "acr.sidecar.metadata" -}}
{{ include "acr.metadata" (dict "name" (include "acr.sidecar" .) "root" .) }}
{{- end }}

{{/* Namespace, labels and annotations of a monitor, a rule or a dashboard. Takes a list of the root and its values. */}}
{{- define "acr.monitoring.metadata" -}}
{{- $root := first . }}
{{- with last . -}}
namespace: {{ toYaml (.namespace | default $root.Release.Namespace) }}
{{ include "acr.metadata" (dict "name" (include "acr.sidecar" $root) "root" $root "labels" .labels "annotations" .annotations) }}
{{- end }}
{{- end }}

{{/* What both kinds of monitors select: they may be in another namespace. */}}
{{- define "acr.monitoring.selection" -}}
namespaceSelector:
  matchNames: [{{ .Release.Namespace | quote }}]
selector:
  matchLabels:
    app.kubernetes.io/name: {{ include "acr.sidecar" . }}
{{- end }}

{{/* Takes the values of the monitor. */}}
{{- define "acr.monitoring.endpoint" -}}
- port: http
  path: /metrics
  interval: {{ .interval }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- with .relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The label that exempts an object from the policies. */}}
{{- define "acr.optOut" -}}
acr-credential-helper.io/inject
{{- end }}

{{- define "acr.policy.metadata" -}}
{{ include "acr.metadata" (dict "name" "acr-credential-helper-policy" "root" .) }}
{{- end }}

{{/*
The registry of the image and of the module. `imageRegistry` is used as it is. A global registry only replaces ghcr.io: mirrors for
several charts keep the paths of the originals.
*/}}
{{- define "acr.registry" -}}
{{- $host := coalesce .Values.global.imageRegistry (.Values.global.cattle).systemDefaultRegistry "ghcr.io" | trimSuffix "/" }}
{{- .Values.imageRegistry | default (printf "%s/acr-credential-helper" $host) | trimSuffix "/" }}
{{- end }}

{{/* The reference of an image or a module. Takes a dict of `what` (repository, tag, digest) and `root`. */}}
{{- define "acr.published" -}}
{{ include "acr.registry" .root }}/{{ .what.repository }}
{{- if .what.digest }}@{{ .what.digest }}{{ else }}:{{ .what.tag | default (printf "v%s" .root.Chart.AppVersion) }}{{ end }}
{{- end }}

{{- define "acr.image" -}}
{{ include "acr.published" (dict "what" .Values.image "root" .) }}
{{- end }}

{{/* What the sidecar's Pods and those of its other commands have in common. */}}
{{- define "acr.pod" -}}
{{- $secrets := list }}
{{- range concat (.Values.global.imagePullSecrets | default list) (.Values.imagePullSecrets | default list) }}
  {{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with uniq $secrets -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{ end -}}
{{- with .Values.podSecurityContext -}}
securityContext:
  {{- toYaml . | nindent 2 }}
{{ end -}}
{{- with .Values.nodeSelector -}}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{ end -}}
{{- with .Values.tolerations -}}
tolerations:
  {{- toYaml . | nindent 2 }}
{{ end -}}
{{- end }}

{{/* The same for their containers. */}}
{{- define "acr.container" -}}
image: {{ include "acr.image" . }}
{{- if ne .Values.image.pullPolicy "IfNotPresent" }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Whether the namespaces contain a glob: `true`, or nothing. */}}
{{- define "acr.hasGlobs" -}}
{{- range .Values.namespaces }}
{{- if or (eq . "all") (contains "*" .) (contains "?" .) }}true{{ end }}
{{- end }}
{{- end }}

{{/*
The label selector of the namespaces in the configuration's syntax, made from matchExpressions.
*/}}
{{- define "acr.selectorText" -}}
{{- $terms := list }}
{{- range .Values.namespaceSelector }}
  {{- $values := join "," .values }}
  {{- if eq .operator "In" }}{{ $terms = append $terms (printf "%s in (%s)" .key $values) }}
  {{- else if eq .operator "NotIn" }}{{ $terms = append $terms (printf "%s notin (%s)" .key $values) }}
  {{- else if eq .operator "Exists" }}{{ $terms = append $terms .key }}
  {{- else }}{{ $terms = append $terms (printf "!%s" .key) }}
  {{- end }}
{{- end }}
{{- join "," $terms }}
{{- end }}

{{/* Secrets with access keys, each once, as a JSON list. */}}
{{- define "acr.keySecrets" -}}
{{- $names := .Values.keySecrets }}
{{- range .Values.registries }}
{{- with .accessKeySecretRef }}{{ $names = append $names . }}{{ end }}
{{- end }}
{{- $names | uniq | toJson }}
{{- end }}

{{/* The page that says what to do about an alert. */}}
{{- define "acr.runbook" -}}
https://github.com/acr-credential-helper/acr-credential-helper/blob/main/docs/operations.md#alerts
{{- end }}

{{/* Labels of an alert: takes a list of the severity and the labels that users add. */}}
{{- define "acr.alertLabels" -}}
{{ include "acr.merged" (list (dict "severity" (first .)) (last .)) }}
{{- end }}
