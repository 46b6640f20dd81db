{{- define "acr.cleanup" -}}
acr-credential-sidecar-cleanup
{{- end }}

{{/* Takes a list of the root and a weight: Helm creates objects with a lower weight first. Each attempt replaces what a failed one has left. */}}
{{- define "acr.cleanup.metadata" -}}
{{- $hook := dict "helm.sh/hook" "pre-delete" "helm.sh/hook-weight" (last .) "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" }}
{{- include "acr.metadata" (dict "name" (include "acr.cleanup" (first .)) "root" (first .) "annotations" $hook) }}
{{- end }}
