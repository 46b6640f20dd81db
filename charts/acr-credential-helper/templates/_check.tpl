{{/* Checks that values.schema.json cannot express. */}}
{{- define "acr.check" -}}
{{- if eq .Values.pullSecret "acr-credential-sidecar-state" }}
  {{- fail "pullSecret: acr-credential-sidecar-state is the Secret in which the sidecar keeps its state: choose another name" }}
{{- end }}
{{- include "acr.check.nulls" . }}
{{- include "acr.check.threshold" . }}
{{- include "acr.check.monitors" . }}
{{- include "acr.check.namespaces" . }}
{{- include "acr.check.hosts" . }}
{{- include "acr.check.arguments" . }}
{{- if and .Values.rrsa.enabled (eq .Values.rrsa.injection "webhook") (hasKey (.Values.serviceAccount.annotations | default dict) "pod-identity.alibabacloud.com/role-name") }}
  {{- fail "rrsa.roleName and the annotation pod-identity.alibabacloud.com/role-name in serviceAccount.annotations both set the role: remove the annotation" }}
{{- end }}
{{- if .Values.configuration.existing }}
  {{- if .Values.registries }}
    {{- fail "registries and configuration.existing are both set: write the registries into that ConfigMap, or unset configuration.existing" }}
  {{- end }}
  {{- if ne .Values.expiringThreshold "15m" }}
    {{- fail "expiringThreshold and configuration.existing are both set: write expiring-threshold into that ConfigMap, or unset configuration.existing" }}
  {{- end }}
{{- end }}
{{- range $index, $registry := .Values.registries }}
  {{- if regexMatch "^cri-(x{3,}|y{3,})$" ($registry.instanceId | default "") }}
    {{- fail (printf "registries[%d].instanceId is a placeholder: copy the id, such as cri-0123456789abcdef, from the ACR console" $index) }}
  {{- end }}
  {{- if regexMatch "(-|[0-9])[a-z]$" ($registry.regionId | default "") }}
    {{- fail (printf "registries[%d].regionId: %s is a zone, not a region: write only the region: %s" $index $registry.regionId (regexReplaceAll "-?[a-z]$" $registry.regionId "")) }}
  {{- end }}
  {{- if and $registry.accessKeySecretRef $registry.rrsaRoleARN }}
    {{- fail (printf "registries[%d] has more than one identity (accessKeySecretRef, rrsaRoleARN): keep one of them" $index) }}
  {{- end }}
  {{- if and $registry.expireDuration (not (or $registry.assumeRoleARN $registry.rrsaRoleARN)) }}
    {{- fail (printf "registries[%d].expireDuration has no effect without a role: remove it, or add assumeRoleARN" $index) }}
  {{- end }}
  {{- if and $registry.rrsaRoleARN (not $.Values.rrsa.enabled) }}
    {{- fail (printf "registries[%d].rrsaRoleARN is set, but RRSA is not switched on: set rrsa.enabled to true" $index) }}
  {{- end }}
{{- end }}
{{- if regexMatch "(-|[0-9])[a-z]$" .Values.cloud.region }}
  {{- fail (printf "cloud.region: %s is a zone, not a region: write only the region: %s" .Values.cloud.region (regexReplaceAll "-?[a-z]$" .Values.cloud.region "")) }}
{{- end }}
{{- if and .Values.policies.enabled .Values.policies.serviceaccounts.enabled (ne .Values.attach "pod") }}
  {{- fail (printf "policies.serviceaccounts.enabled and attach: %s do the same: keep one of them" .Values.attach) }}
{{- end }}
{{- end }}

{{/* Helm removes a value that is null together with its default, so a narrowed selection would apply to everything. */}}
{{- define "acr.check.nulls" -}}
{{- range list "registries" "namespaces" "excludedNamespaces" "namespaceSelector" "serviceAccounts" }}
  {{- if not (hasKey $.Values .) }}
    {{- fail (printf "%s is null: write a list, or remove the key to use the default" .) }}
  {{- end }}
{{- end }}
{{- range $index, $registry := .Values.registries }}
  {{- range list "domains" "namespaces" }}
    {{- if and (hasKey $registry .) (not (get $registry .)) }}
      {{- fail (printf "registries[%d].%s is empty: write a list, or remove the key" $index .) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The seconds of a duration, such as 1m30s or 500ms. */}}
{{- define "acr.seconds" -}}
{{- $seconds := 0.0 }}
{{- $units := dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 }}
{{- range regexFindAll "[0-9.]+(ms|h|m|s)" . -1 }}
  {{- $unit := regexFind "[a-z]+" . }}
  {{- $seconds = addf $seconds (mulf (trimSuffix $unit . | float64) (get $units $unit)) }}
{{- end }}
{{- $seconds }}
{{- end }}

{{/* From one minute to 12 hours, as in the sidecar. */}}
{{- define "acr.check.threshold" -}}
{{- $seconds := include "acr.seconds" .Values.expiringThreshold | float64 }}
{{- if or (lt $seconds 60.0) (gt $seconds 43200.0) }}
  {{- fail (printf "expiringThreshold: %s is not between 1m and 12h" .Values.expiringThreshold) }}
{{- end }}
{{- end }}

{{/* The Prometheus operator ignores a monitor whose timeout is longer than its interval. */}}
{{- define "acr.check.monitors" -}}
{{- range $name := list "podMonitor" "serviceMonitor" }}
  {{- with get $.Values.metrics $name }}
    {{- if and .interval .scrapeTimeout }}
      {{- if gt (include "acr.seconds" .scrapeTimeout | float64) (include "acr.seconds" .interval | float64) }}
        {{- fail (printf "metrics.%s.scrapeTimeout: %s is longer than interval, %s: write a shorter timeout" $name .scrapeTimeout .interval) }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* An exclusion overrides a glob, so an exclusion of everything leaves nothing for any glob to select. */}}
{{- define "acr.check.namespaces" -}}
{{- if include "acr.hasGlobs" . }}
  {{- range $excluded := .Values.excludedNamespaces }}
    {{- if or (eq $excluded "all") (eq $excluded "*") (and (or (contains "*" $excluded) (contains "?" $excluded)) (has $excluded $.Values.namespaces)) }}
      {{- fail (printf "excludedNamespaces: %s excludes everything that a glob in namespaces selects: remove one of the two" $excluded) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A pull secret holds one login for each host. This finds only globs that are equal or select everything; the sidecar finds the others. */}}
{{- define "acr.check.hosts" -}}
{{- range $second, $registry := .Values.registries }}
  {{- range $first, $earlier := slice $.Values.registries 0 $second }}
    {{- $shared := or (not $registry.namespaces) (not $earlier.namespaces) }}
    {{- range $registry.namespaces }}
      {{- if or (has . (list "*" "all")) (has . ($earlier.namespaces | default list)) }}{{ $shared = true }}{{ end }}
    {{- end }}
    {{- range $earlier.namespaces }}
      {{- if has . (list "*" "all") }}{{ $shared = true }}{{ end }}
    {{- end }}
    {{- range $host := $registry.domains }}
      {{- if and $shared (has $host ($earlier.domains | default list)) }}
        {{- fail (printf "registries[%d].domains: %s is also in registries[%d] for the same namespaces: remove it from one of them, or give them different namespaces" $second $host $first) }}
      {{- end }}
    {{- end }}
    {{- /* Without domains, both apply to all hosts of Personal Edition in the region. */}}
    {{- $isPersonal := not (or $registry.instanceId $earlier.instanceId $registry.domains $earlier.domains) }}
    {{- $isOneRegion := eq ($registry.regionId | default "") ($earlier.regionId | default "") }}
    {{- $identities := list }}
    {{- range list $registry $earlier }}
      {{- $identities = append $identities (omit . "instanceId" "regionId" "domains" "namespaces" | toJson) }}
    {{- end }}
    {{- if and $shared $isPersonal $isOneRegion (ne (first $identities) (last $identities)) }}
      {{- fail (printf "registries[%d] claims hosts of registries[%d] with another identity, for the same namespaces: keep one of the two, or give them different namespaces, since Personal Edition has the same hosts in every account" $second $first) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Refuses arguments that a value sets, and arguments whose defaults the chart relies on. */}}
{{- define "acr.check.arguments" -}}
{{- $values := dict
  "--adopt" "adopt"
  "--concurrency" "concurrency"
  "--config-map" "configuration.existing"
  "--key-secrets" "keySecrets"
  "--log-format" "log.format"
  "--log-level" "log.level"
  "--pull-secret" "pullSecret"
  "--region" "cloud.region"
  "--spread" "spreadSeconds"
  "--vpc-endpoints" "cloud.vpcEndpoints" }}
{{- $fixed := list "--context" "--dry-run" "--help" "--kubeconfig" "--listen" "--once" "--replica" "--sidecar-namespace" }}
{{- range .Values.extraArgs }}
  {{- $flag := regexFind "^[^= ]*" . }}
  {{- with get $values $flag }}
    {{- fail (printf "extraArgs: %s is set by the value %s: change that value instead" $flag .) }}
  {{- end }}
  {{- if has $flag $fixed }}
    {{- fail (printf "extraArgs: the rest of the chart relies on the default of %s: remove the argument" $flag) }}
  {{- end }}
{{- end }}
{{- end }}
