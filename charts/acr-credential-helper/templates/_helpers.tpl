{{/*
Names. They are fixed, because the sidecar finds its policies by their names, reports missing rights with the name of the role, and
exists only once in a cluster.
*/}}
{{- define "acr.sidecar" -}}
acr-credential-sidecar
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

{{/* Labels. Takes a dict of `name`, `root`, and `more` if the object has its own labels. */}}
{{- define "acr.labels" -}}
{{- $ours := dict "app.kubernetes.io/name" .name "app.kubernetes.io/part-of" "acr-credential-helper" }}
{{- $helms := dict }}
{{- if .root.Values.helmLabels }}
  {{- $helms = dict
    "app.kubernetes.io/instance" .root.Release.Name
    "app.kubernetes.io/version" .root.Chart.AppVersion
    "app.kubernetes.io/managed-by" .root.Release.Service
    "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- end }}
{{- include "acr.merged" (list $ours $helms .root.Values.commonLabels .more) }}
{{- end }}

{{- define "acr.sidecar.labels" -}}
{{ include "acr.labels" (dict "name" (include "acr.sidecar" .) "root" .) }}
{{- end }}

{{/* Labels of a monitor or a rule. Takes a list of the root and the labels that users add. */}}
{{- define "acr.monitoring.labels" -}}
{{ include "acr.labels" (dict "name" (include "acr.sidecar" (first .)) "root" (first .) "more" (last .)) }}
{{- end }}

{{/* The label that exempts an object from the policies. */}}
{{- define "acr.optOut" -}}
acr-credential-helper.io/inject
{{- end }}

{{- define "acr.policy.labels" -}}
{{ include "acr.labels" (dict "name" "acr-credential-helper-policy" "root" .) }}
{{- end }}

{{/* The reference of an image or a module. Takes a dict of `what` (repository, tag, digest) and `root`. */}}
{{- define "acr.published" -}}
{{ .root.Values.imageRegistry | trimSuffix "/" }}/{{ .what.repository }}
{{- if .what.digest }}@{{ .what.digest }}{{ else }}:{{ .what.tag | default (printf "v%s" .root.Chart.AppVersion) }}{{ end }}
{{- end }}

{{- define "acr.image" -}}
{{ include "acr.published" (dict "what" .Values.image "root" .) }}
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

{{/* Labels of an alert: takes a list of the severity and the labels that users add. */}}
{{- define "acr.alertLabels" -}}
{{ include "acr.merged" (list (dict "severity" (first .)) (last .)) }}
{{- end }}
