{{/*
What the three policies share. Names and selection come from the same values as the sidecar's configuration, so that the halves
cannot disagree.
*/}}
{{- define "acr.policy.metadata" -}}
name: acr-credential-helper-{{ .name }}
labels:
  {{- include "acr.policy.labels" .root | nindent 2 }}
annotations:
  io.kubewarden.policy.category: Secrets
  io.kubewarden.policy.severity: {{ .severity }}
{{- end }}

{{/* Whether the policy that adds the pull secret to Pods is among them: `true`, or nothing. */}}
{{- define "acr.policy.injects" -}}
{{- if and .Values.policies.enabled .Values.policies.inject.enabled (ne .Values.attach "service-account") }}true{{ end }}
{{- end }}

{{/* What becomes of the Pods of a workload: nothing adds the pull secret to them where inject is left out, or only monitors. */}}
{{- define "acr.policy.guard.ownedPods" -}}
{{- if and (include "acr.policy.injects" .) (eq .Values.policies.mode "protect") }}{{ .Values.policies.manualPullSecrets.ownedPods }}{{ else }}ignore{{ end }}
{{- end }}

{{- define "acr.policy.server" -}}
policyServer: {{ toYaml .Values.policies.policyServer.name }}
module: registry://{{ include "acr.published" (dict "what" .Values.policies.module "root" .) }}
{{- end }}

{{- define "acr.policy.namespaceSelector" -}}
# matchExpressions only: Kubewarden drops `matchLabels` here without a word.
namespaceSelector:
  matchExpressions:
    # The literal names of settings.namespaces. With a glob among them, name what is excluded instead:
    #   - key: kubernetes.io/metadata.name
    #     operator: NotIn
    #     values: [kube-system, kube-public, kube-node-lease]
    # and leave out of it what settings.namespaces names exactly.
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
    # Opt-out of a namespace. NotIn matches namespaces without the label, too.
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
# An exact name above beats an exclusion; an exclusion beats a glob.
excludedNamespaces: {{ toJson .Values.excludedNamespaces }}
serviceAccounts: {{ toJson .Values.serviceAccounts }}
pullSecret: {{ toYaml .Values.pullSecret }}
{{- end }}
