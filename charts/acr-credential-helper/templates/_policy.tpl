{{/*
The parts that the three policies share. Names and selection come from the same values as the sidecar's configuration, so the policies
and the sidecar cannot disagree.
*/}}
{{- define "acr.policy.identity" -}}
name: acr-credential-helper-{{ .name }}
{{- $annotations := dict "io.kubewarden.policy.category" "Secrets" "io.kubewarden.policy.severity" .severity }}
{{ include "acr.metadata" (dict "name" "acr-credential-helper-policy" "root" .root "annotations" $annotations) }}
{{- end }}

{{/* Whether the policy that adds the pull secret to Pods is installed: `true`, or nothing. */}}
{{- define "acr.policy.injects" -}}
{{- if and .Values.policies.enabled .Values.policies.inject.enabled (ne .Values.attach "service-account") }}true{{ end }}
{{- end }}

{{/* What happens to the Pods of a workload. Nothing adds the pull secret to them if inject is not installed, or only monitors. */}}
{{- define "acr.policy.guard.ownedPods" -}}
{{- if and (include "acr.policy.injects" .) (eq .Values.policies.mode "protect") }}{{ .Values.policies.manualPullSecrets.ownedPods }}{{ else }}ignore{{ end }}
{{- end }}

{{- define "acr.policy.server" -}}
policyServer: {{ toYaml .Values.policies.policyServer.name }}
module: registry://{{ include "acr.published" (dict "what" .Values.policies.module "root" .) }}
{{- end }}

{{- define "acr.policy.namespaceSelector" -}}
# Use only matchExpressions: Kubewarden silently drops `matchLabels` here.
namespaceSelector:
  matchExpressions:
    # The exact names in settings.namespaces. If settings.namespaces contains a glob, list the excluded namespaces instead:
    #   - key: kubernetes.io/metadata.name
    #     operator: NotIn
    #     values: [kube-system, kube-public, kube-node-lease]
    # and leave out the namespaces that settings.namespaces names exactly.
    {{- if include "acr.hasGlobs" . }}
    {{- $excluded := list }}
    {{- range .Values.excludedNamespaces }}
      {{- if not (or (contains "*" .) (contains "?" .) (has . $.Values.namespaces)) }}
        {{- $excluded = append $excluded . }}
      {{- end }}
    {{- end }}
    {{- if $excluded }}
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ toJson $excluded }}
    {{- end }}
    {{- else }}
    - key: kubernetes.io/metadata.name
      operator: In
      values: {{ toJson .Values.namespaces }}
    {{- end }}
    # Opt-out of a namespace. NotIn also matches namespaces without the label.
    - key: acr-credential-helper.io/inject
      operator: NotIn
      values: ["false"]
    {{- with .Values.namespaceSelector }}
    # The same as watch-namespace-selector.
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "acr.policy.objectSelector" -}}
objectSelector:
  matchExpressions:
    - key: acr-credential-helper.io/inject
      operator: NotIn
      values: ["false"]
{{- end }}

{{- define "acr.policy.selection" -}}
namespaces: {{ toJson .Values.namespaces }}
# An exact name above overrides an exclusion; an exclusion overrides a glob.
excludedNamespaces: {{ toJson .Values.excludedNamespaces }}
serviceAccounts: {{ toJson .Values.serviceAccounts }}
pullSecret: {{ toYaml .Values.pullSecret }}
{{- end }}
