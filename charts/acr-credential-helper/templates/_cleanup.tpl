{{- define "acr.cleanup" -}}
acr-credential-sidecar-cleanup
{{- end }}

{{- define "acr.cleanup.labels" -}}
{{ include "acr.labels" (dict "name" (include "acr.cleanup" .) "root" .) }}
{{- end }}

{{/* Takes the weight: what is lighter is made first. What is left of a failed attempt is replaced by the next one. */}}
{{- define "acr.cleanup.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
