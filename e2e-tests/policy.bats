#!/usr/bin/env bats
#
# The annotated policy, run by kwctl: `make e2e-tests`. Requests are those that a real API server sent; where a test
# needs another list it is written into one of them.

bats_require_minimum_version 1.5.0

readonly ours=acr-credential-secret-aggregation

setup() {
  cd "$BATS_TEST_DIRNAME/.."
  fixtures="${FIXTURES:-tests/fixtures}"
}

# judge FIXTURE [SETTINGS [KWCTL-FLAG...]]: lets the policy judge a request.
judge() {
  local request="$fixtures/$1" settings="${2:-{\}}"
  [[ "$1" == /* ]] && request="$1"
  run --separate-stderr kwctl run annotated-policy.wasm \
    --request-path "$request" --settings-json "$settings" "${@:3}"
}

# variant FIXTURE JQ-FILTER: prints the path of that request, changed.
variant() {
  local changed
  changed="$(mktemp "$BATS_TEST_TMPDIR/request-XXXXXX.json")"
  jq --arg ours "$ours" "$2" "$fixtures/$1" >"$changed"
  echo "$changed"
}

# holds JQ-CONDITION: fails, and shows the answer, unless the condition is true of it. `patch` is the decoded patch.
holds() {
  jq --exit-status --arg ours "$ours" \
    'def patch: if .patch then .patch | @base64d | fromjson else [] end;
     def untouched: .allowed and patch == [] and (.warnings // []) == [];
     '"$1" <<<"$output" >/dev/null && return
  printf 'does not hold: %s\nstatus: %s\nstdout: %s\nstderr: %s\n' "$1" "$status" "$output" "$stderr" >&2
  return 1
}

# account_lists NAME...: prints the flags that replay a lookup of the ServiceAccount default/default with this list.
account_lists() {
  local list payload
  list="$(jq --null-input --compact-output '[$ARGS.positional[] | {name: .}]' --args "$@")"
  payload="$(jq --null-input --compact-output --argjson list "$list" \
    '{apiVersion: "v1", kind: "ServiceAccount", metadata: {name: "default", namespace: "default"}, imagePullSecrets: $list}')"
  replay "{type: Success, payload: '$payload'}"
}

# replay RESPONSE: prints the flags that answer the lookup of the ServiceAccount default/default with it.
replay() {
  local session="$BATS_TEST_TMPDIR/session.yml"
  cat >"$session" <<YAML
- type: Exchange
  request: |
    !KubernetesGetResource
    api_version: v1
    kind: ServiceAccount
    name: default
    namespace: default
    disable_cache: false
  response: $1
YAML
  echo "--allow-context-aware --replay-host-capabilities-interactions $session"
}

# refuses_settings SETTINGS TEXT...: the settings are refused, and the message has every text.
refuses_settings() {
  judge pod-bare.json "$1"
  local said="$output$stderr" text
  for text in "${@:2}"; do
    if [[ "$status" -eq 0 || "$said" != *"$text"* ]]; then
      printf 'not refused with "%s": %s\nstatus: %s\n%s\n' "$text" "$1" "$status" "$said" >&2
      return 1
    fi
  done
}

# --- Settings ---------------------------------------------------------------------------------------------------------

@test "the settings of every manifest in deploy/ are valid" {
  for policy in inject guard serviceaccounts; do
    run --separate-stderr kwctl run --request-path "$fixtures/pod-bare.json" annotated-policy.wasm \
      --settings-path <(sed -n '/^  settings:$/,$p' "deploy/$policy.yaml" | sed 1d)
    holds '.allowed' || { echo "$policy" >&2; return 1; }
  done
}

@test "settings may be left out, null, or the comma strings of the vendor" {
  for settings in '{}' '{"namespaces":null}' '{"namespaces":"Default, team-a","serviceAccounts":"all"}' \
    '{"namespaces":["team-*","default"],"excludedNamespaces":[]}' \
    '{"manualPullSecrets":{"allowed":["acr-credential-*"]}}'; do
    judge pod-bare.json "$settings"
    holds '.allowed and (patch | length) == 1' || { echo "$settings" >&2; return 1; }
  done
}

@test "a misspelt setting is refused with the one that was meant" {
  refuses_settings '{"serviceAcounts":["default"]}' serviceAcounts 'did you mean "serviceAccounts"?'
  refuses_settings '{"manualPullSecrets":{"ownedpods":"merge"}}' manualPullSecrets.ownedpods ownedPods
}

@test "all mistakes are reported at once, each with its path" {
  refuses_settings '{"namespaces":[],"serviceAccounts":["team_a"],"pullSecret":"*","readServiceAccounts":"yes",
    "registries":["https://registry.example.com"],"manualPullSecrets":{"pods":"deny"}}' \
    namespaces 'serviceAccounts[0]' pullSecret readServiceAccounts 'registries[0]' manualPullSecrets.pods
}

@test "a list that selects nothing is refused" {
  refuses_settings '{"namespaces":[]}' namespaces
  refuses_settings '{"serviceAccounts":[]}' serviceAccounts
  refuses_settings '{"namespaces":["team-*"],"excludedNamespaces":["team-*"]}' 'namespaces[0]' 'excludedNamespaces[0]'
}

@test "merge is refused for workloads: templates are never changed" {
  refuses_settings '{"manualPullSecrets":{"workloads":"merge"}}' manualPullSecrets.workloads
}

@test "an allow-list that contradicts the modes is refused" {
  refuses_settings '{"manualPullSecrets":{"allowed":["*"]}}' 'manualPullSecrets.allowed[0]'
  refuses_settings "{\"manualPullSecrets\":{\"allowed\":[\"$ours\"]}}" 'manualPullSecrets.allowed[0]'
}

# --- Pods -------------------------------------------------------------------------------------------------------------

@test "a Pod without a list gets the pull secret, by one operation" {
  for pod in pod-bare pod-of-replicaset pod-of-job pod-image-volume pod-dry-run; do
    request="$(variant "$pod.json" 'del(.object.spec.imagePullSecrets)')"
    judge "$request"
    holds '.allowed and patch == [{op: "add", path: "/spec/imagePullSecrets", value: [{name: $ours}]}]
      and .auditAnnotations.rule == "pod-appended"'
  done
}

@test "an explicit null is replaced" {
  judge "$(variant pod-bare.json '.object.spec.imagePullSecrets = null')"
  holds 'patch == [{op: "replace", path: "/spec/imagePullSecrets", value: [{name: $ours}]}]'
}

@test "a list that has the pull secret is left alone" {
  judge "$(variant pod-bare.json '.object.spec.imagePullSecrets = [{name: "mine"}, {}, {name: $ours}]')"
  holds 'untouched'
}

@test "the name of the pull secret is a setting" {
  judge "$(variant pod-bare.json 'del(.object.spec.imagePullSecrets)')" '{"pullSecret":"another"}'
  holds 'patch[0].value == [{name: "another"}]'
}

@test "mirror Pods, subresources and updates are left alone" {
  judge pod-mirror.json
  holds 'untouched'
  judge pod-ephemeral-containers.json
  holds 'untouched'
  judge "$(variant pod-manual.json '.operation = "UPDATE" | .oldObject = .object')"
  holds 'untouched'
}

@test "a Pod of another namespace or service account is left alone" {
  judge pod-manual.json '{"namespaces":["team-*"]}'
  holds 'untouched'
  judge pod-manual.json '{"serviceAccounts":["builder"]}'
  holds 'untouched'
}

@test "the request says which namespace it is, not the object" {
  judge "$(variant pod-bare.json 'del(.object.spec.imagePullSecrets) | .object.metadata.namespace = "kube-system"')"
  holds '(patch | length) == 1'
}

@test "with registries, only Pods with an image of theirs are touched" {
  judge pod-manual.json '{"registries":["registry.nowhere.example"]}'
  holds 'untouched'
  image='"registry.somewhere.example/team/app:1"'
  for place in '.containers[0].image' '.initContainers[0].image' '.volumes[0].image.reference'; do
    judge "$(variant pod-bare.json "del(.object.spec.imagePullSecrets) | .object.spec |= ($place = $image)")" \
      '{"registries":["*.somewhere.example"]}'
    holds '(patch | length) == 1' || { echo "$place" >&2; return 1; }
  done
}

@test "a manual list on a bare Pod is refused, and the message says why and what to do" {
  judge pod-manual.json
  holds '.allowed == false and .patch == null and .status.code == 403 and .auditAnnotations.rule == "pod-refused"'
  holds '.status.message | startswith("Pod default/")'
  holds '.status.message | contains("spec.imagePullSecrets") and contains("\"my-registry\"") and contains($ours)'
  holds '.status.message | contains("manualPullSecrets.allowed") and (contains("\n") | not) and length <= 400'
}

@test "merge adds the pull secret behind a manual list" {
  judge pod-manual.json '{"manualPullSecrets":{"pods":"merge"}}'
  holds '.allowed and patch == [{op: "add", path: "/spec/imagePullSecrets/1", value: {name: $ours}}]
    and (.warnings // []) == [] and .auditAnnotations.rule == "pod-merged"'
}

@test "warn adds it, too, and warns within 120 characters" {
  judge pod-manual.json '{"manualPullSecrets":{"pods":"warn"}}'
  holds '.allowed and (patch | length) == 1 and (.warnings | length) == 1'
  holds '.warnings[0] | contains("my-registry") and length <= 120'
}

@test "ignore leaves a manual list alone" {
  judge pod-manual.json '{"manualPullSecrets":{"pods":"ignore"}}'
  holds '.allowed and patch == []'
}

@test "Pods of a controller have a mode of their own" {
  request="$(variant pod-of-replicaset.json '.object.spec.imagePullSecrets = [{name: "my-registry"}]')"
  judge "$request"
  holds '.allowed and patch == [{op: "add", path: "/spec/imagePullSecrets/1", value: {name: $ours}}]'
  judge "$request" '{"manualPullSecrets":{"ownedPods":"reject"}}'
  holds '.allowed == false and (.status.message | contains("generateName") and contains("ReplicaSet"))'
}

@test "nameless and allowed entries do not count as manual, and keep their places" {
  request="$(variant pod-bare.json '.object.spec.imagePullSecrets = [{}, {name: "team-a-registry"}, {}]')"
  judge "$request" '{"manualPullSecrets":{"allowed":["team-*"]}}'
  holds '.allowed and patch == [{op: "add", path: "/spec/imagePullSecrets/3", value: {name: $ours}}]'
}

# --- Lookups of ServiceAccounts ---------------------------------------------------------------------------------------

@test "without the lookup, a list copied from the ServiceAccount counts as manual" {
  judge pod-copied.json
  holds '.allowed == false and .status.code == 403'
}

@test "with it, a copied list is not manual" {
  read -ra copied < <(jq -r '[.object.spec.imagePullSecrets[].name] | join(" ")' "$fixtures/pod-copied.json")
  read -ra flags < <(account_lists "${copied[@]}")
  judge pod-copied.json '{"readServiceAccounts":true}' "${flags[@]}"
  holds '.allowed and (patch | length) == 1 and patch[0].op == "add" and patch[0].value == {name: $ours}
    and (.warnings // []) == [] and .auditAnnotations.rule == "pod-appended"'
}

@test "an entry that the ServiceAccount does not list is refused all the same" {
  read -ra flags < <(account_lists somebody-else)
  judge pod-manual.json '{"readServiceAccounts":true}' "${flags[@]}"
  holds '.allowed == false and (.status.message | contains("\"my-registry\""))'
}

@test "a lookup that is forbidden merges, and the warning names the missing right" {
  read -ra flags < <(replay '{type: Error, message: "ApiError: serviceaccounts \"default\" is forbidden: Forbidden"}')
  judge pod-manual.json '{"readServiceAccounts":true}' "${flags[@]}"
  holds '.allowed and (patch | length) == 1 and (.warnings[0] | contains("serviceaccounts") and length <= 120)'
}

@test "a lookup that the policy is not granted merges, and the warning names contextAwareResources" {
  judge pod-manual.json '{"readServiceAccounts":true}'
  holds '.allowed and (patch | length) == 1 and (.warnings[0] | contains("contextAwareResources"))'
}

# --- Workloads --------------------------------------------------------------------------------------------------------

readonly workloads=(deployment statefulset daemonset replicaset replicationcontroller job cronjob)

# manual_workload KIND: prints the path of a request that creates one with a manual list.
manual_workload() {
  local template=.object.spec.template
  [[ "$1" == cronjob ]] && template=.object.spec.jobTemplate.spec.template
  variant "$1-create.json" "$template.spec.imagePullSecrets = [{name: \"my-registry\"}]
    | del(.object.metadata.ownerReferences)"
}

@test "a workload without a list is left alone: templates are never changed" {
  for workload in "${workloads[@]}"; do
    judge "$(variant "$workload-create.json" 'del(.object.spec.template.spec.imagePullSecrets?)')"
    holds 'untouched' || { echo "$workload" >&2; return 1; }
  done
}

@test "a manual list in a template is refused for every kind, with the path of that kind" {
  for workload in "${workloads[@]}"; do
    path=spec.template.spec.imagePullSecrets
    [[ "$workload" == cronjob ]] && path="spec.jobTemplate.$path"
    judge "$(manual_workload "$workload")"
    holds '.allowed == false and .status.code == 403 and .auditAnnotations.rule == "workload-refused"'
    holds ".status.message | contains(\" $path lists \\\"my-registry\\\"\")"
  done
}

@test "the refusal of a Deployment is one line that names it" {
  judge deployment-manual.json
  holds '.allowed == false and (.status.message | startswith("Deployment default/") and length <= 400
    and (contains("\n") | not))'
}

@test "warn lets a workload pass with a warning, ignore without" {
  judge deployment-manual.json '{"manualPullSecrets":{"workloads":"warn"}}'
  holds '.allowed and patch == [] and (.warnings | length) == 1 and .auditAnnotations.rule == "workload-warned"'
  judge deployment-manual.json '{"manualPullSecrets":{"workloads":"ignore"}}'
  holds 'untouched'
}

@test "a template that lists the pull secret, too, is fine" {
  judge "$(variant deployment-manual.json '.object.spec.template.spec.imagePullSecrets += [{name: $ours}]')"
  holds 'untouched'
}

@test "an update is refused only for what it adds" {
  judge deployment-update-unchanged.json
  holds 'untouched'
  judge deployment-scale-legacy.json
  holds 'untouched'
  judge deployment-update-adds-manual.json
  holds '.allowed == false and .status.code == 403'
}

@test "an update that drops the pull secret from a manual list is refused" {
  judge "$(variant deployment-manual.json '.operation = "UPDATE" | .oldObject = .object
    | .oldObject.spec.template.spec.imagePullSecrets += [{name: $ours}]')"
  holds '.allowed == false and .status.code == 403'
}

@test "workloads of a controller, and those being deleted, are left alone" {
  owner='[{apiVersion: "apps/v1", kind: "Deployment", name: "web", uid: "1", controller: true}]'
  judge "$(variant deployment-manual.json ".object.metadata.ownerReferences = $owner")"
  holds 'untouched'
  judge "$(variant deployment-manual.json '.operation = "UPDATE" | .oldObject = .object
    | del(.oldObject.spec.template.spec.imagePullSecrets) | .object.metadata.deletionTimestamp = "2026-01-01T00:00:00Z"')"
  holds 'untouched'
}

@test "the group decides, not the kind alone" {
  judge "$(variant deployment-manual.json '.kind.group = "example.com"')"
  holds 'untouched'
}

# --- ServiceAccounts --------------------------------------------------------------------------------------------------

@test "a ServiceAccount gets the pull secret behind what it lists" {
  for account in serviceaccount-create serviceaccount-update; do
    judge "$(variant "$account.json" 'del(.object.imagePullSecrets) | .object.metadata.name = "default"')"
    holds '.allowed and patch == [{op: "add", path: "/imagePullSecrets", value: [{name: $ours}]}]
      and .auditAnnotations.rule == "service-account-appended"'
    judge "$(variant "$account.json" '.object.imagePullSecrets = [{name: "mine"}, {}] | .object.metadata.name = "default"')"
    holds '.allowed and patch == [{op: "add", path: "/imagePullSecrets/2", value: {name: $ours}}]'
    judge "$(variant "$account.json" '.object.imagePullSecrets = [{name: $ours}] | .object.metadata.name = "default"')"
    holds 'untouched'
  done
}

# --- Bad requests -----------------------------------------------------------------------------------------------------

@test "a list of the wrong type is refused with its path, and without what it holds" {
  judge "$(variant pod-bare.json '.object.spec.imagePullSecrets = "hunter2"')"
  holds '.allowed == false and .status.code == 400'
  holds '.status.message | contains("spec.imagePullSecrets") and (contains("hunter2") | not)'
}

# --- Metadata ---------------------------------------------------------------------------------------------------------

@test "artifacthub-pkg.yml is what kwctl generates, but for the provider and the date" {
  generated="$BATS_TEST_TMPDIR/artifacthub-pkg.yml"
  kwctl scaffold artifacthub --output "$generated"
  diff --unified --ignore-matching-lines '^createdAt:' \
    <(sed '/^#/d' artifacthub-pkg.yml) \
    <(sed -e '/^#/d' -e 's/^  name: kubewarden$/  name: acr-credential-helper/' "$generated")
}
