{{/* Files that the sidecar reads: access keys, the OIDC token, and files that users add. */}}

{{- define "acr.rrsa.projected" -}}
{{- if and .Values.rrsa.enabled (eq .Values.rrsa.injection "chart") }}true{{ end }}
{{- end }}

{{- define "acr.rrsa.env" -}}
{{- if and (include "acr.rrsa.projected" .) .Values.rrsa.roleARN }}
# The role of entries that name no identity.
- name: ALIBABA_CLOUD_ROLE_ARN
  value: {{ .Values.rrsa.roleARN | quote }}
- name: ALIBABA_CLOUD_OIDC_PROVIDER_ARN
  value: {{ .Values.rrsa.oidcProviderARN | quote }}
- name: ALIBABA_CLOUD_OIDC_TOKEN_FILE
  value: /var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token
{{- end }}
{{- end }}

{{- define "acr.volumeMounts" -}}
{{- if include "acr.rrsa.projected" . }}
# The sidecar looks for the token here by default.
- name: oidc-token
  mountPath: /var/run/secrets/ack.alibabacloud.com/rrsa-tokens
  readOnly: true
{{- end }}
{{- range include "acr.keySecrets" . | fromJsonArray }}
- name: {{ include "acr.keyVolume" . }}
  mountPath: /var/run/secrets/acr-credential-helper.io/keys/{{ . }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "acr.volumes" -}}
{{- if include "acr.rrsa.projected" . }}
- name: oidc-token
  projected:
    sources:
      - serviceAccountToken:
          audience: sts.aliyuncs.com
          expirationSeconds: {{ .Values.rrsa.tokenExpirationSeconds }}
          path: token
{{- end }}
{{- range include "acr.keySecrets" . | fromJsonArray }}
- name: {{ include "acr.keyVolume" . }}
  secret:
    secretName: {{ toYaml . }}
    # A missing Secret affects only its registry. The kubelet mounts it as soon as it exists.
    optional: true
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The name of a Secret may contain dots and be 253 characters long; the name of a volume may not. */}}
{{- define "acr.keyVolume" -}}
key-{{ sha256sum . | trunc 16 }}
{{- end }}
