{{- define "acr.cleanup" -}}
acr-credential-sidecar-cleanup
{{- end }}

{{- define "acr.cleanup.labels" -}}
{{ include "acr.labels" (dict "name" (include "acr.cleanup" .) "root" .) }}
{{- end }}

{{/* Takes the weight: Helm creates objects with a lower weight first. Each attempt replaces what a failed attempt has left. */}}
{{- define "acr.cleanup.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
