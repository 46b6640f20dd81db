#!/usr/bin/env bats
#
# The annotated policy, run by kwctl: `make e2e-tests`. Here is what only kwctl can show; the rules are tested natively in `tests/it`,
# and the compiled module on a real API server in `e2e-tests/tests/it`. Requests are those that a real API server sent.

bats_require_minimum_version 1.5.0

readonly ours=acr-credential-secret-aggregation

setup() {
  cd "$BATS_TEST_DIRNAME/.."
  fixtures="${FIXTURES:-tests/fixtures}"
}

# judge REQUEST [SETTINGS [KWCTL-FLAG...]]: lets the policy judge a fixture, or a file by its absolute path.
judge() {
  local request="$fixtures/$1" settings="${2:-{\}}"
  [[ "$1" == /* ]] && request="$1"
  run --separate-stderr kwctl run annotated-policy.wasm \
    --request-path "$request" --settings-json "$settings" "${@:3}"
}

# holds JQ-CONDITION: fails, and shows the answer, unless the condition is true of it. `patch` is the decoded patch.
holds() {
  jq --exit-status --arg ours "$ours" \
    'def patch: if .patch then .patch | @base64d | fromjson else [] end;
     '"$1" <<<"$output" >/dev/null && return
  printf 'does not hold: %s\nstatus: %s\nstdout: %s\nstderr: %s\n' "$1" "$status" "$output" "$stderr" >&2
  return 1
}

# replay RESPONSE: prints the flags that answer the look-up of the ServiceAccount default/default with it.
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

@test "the settings of every manifest in deploy/ are valid" {
  for policy in inject guard serviceaccounts; do
    run --separate-stderr kwctl run --request-path "$fixtures/pod-bare.json" annotated-policy.wasm \
      --settings-path <(sed -n '/^  settings:$/,$p' "deploy/$policy.yaml" | sed 1d)
    holds '.allowed' || { echo "$policy" >&2; return 1; }
  done
}

@test "settings that are wrong keep kwctl from running, with every mistake" {
  judge pod-bare.json '{"serviceAcounts":["default"],"manualPullSecrets":{"workloads":"merge"}}'
  [ "$status" -ne 0 ]
  [[ "$output$stderr" == *'did you mean "serviceAccounts"?'* ]]
  [[ "$output$stderr" == *manualPullSecrets.workloads* ]]
}

@test "a Pod gets the pull secret by one operation of the patch that kwctl computes" {
  judge pod-of-replicaset.json
  holds '.allowed and patch == [{op: "add", path: "/spec/imagePullSecrets", value: [{name: $ours}]}]
    and .auditAnnotations.rule == "pod-appended"'
}

@test "a request that kwctl makes up has no user, and is judged as a person's" {
  request="$BATS_TEST_TMPDIR/request.json"
  jq .object "$fixtures/pod-manual.json" >"$BATS_TEST_TMPDIR/pod.json"
  kwctl scaffold admission-request --operation CREATE --object "$BATS_TEST_TMPDIR/pod.json" >"$request"
  judge "$request"
  holds '.allowed == false and .status.code == 403 and .auditAnnotations.rule == "pod-refused"'
  holds '.status.message | contains("\"my-registry\"") and contains($ours) and length <= 400'
}

@test "a workload with another list gets two warnings, each of at most 120 characters" {
  judge deployment-manual.json
  holds '.allowed and patch == [] and (.warnings | length) == 2 and all(.warnings[]; length <= 120)
    and .auditAnnotations.rule == "workload-warned"'
}

@test "a list copied from the ServiceAccount is not manual: the look-up is what kwctl recorded" {
  list="$(jq --compact-output .object.spec.imagePullSecrets "$fixtures/pod-copied.json")"
  account="{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"default\"},\"imagePullSecrets\":$list}"
  read -ra flags < <(replay "{type: Success, payload: '$account'}")
  judge pod-copied.json '{"readServiceAccounts":true}' "${flags[@]}"
  holds '.allowed and (patch | length) == 1 and (.warnings // []) == [] and .auditAnnotations.rule == "pod-appended"'
}

@test "a look-up that is forbidden merges, and the warning names the missing right" {
  read -ra flags < <(replay '{type: Error, message: "ApiError: serviceaccounts \"default\" is forbidden: Forbidden"}')
  judge pod-manual.json '{"readServiceAccounts":true}' "${flags[@]}"
  holds '.allowed and (patch | length) == 1 and (.warnings[0] | contains("serviceaccounts") and length <= 120)'
}

@test "a look-up that the policy is not granted merges, and the warning names contextAwareResources" {
  judge pod-manual.json '{"readServiceAccounts":true}'
  holds '.allowed and (patch | length) == 1 and (.warnings[0] | contains("contextAwareResources"))'
}

@test "artifacthub-pkg.yml is what make artifacthub-pkg.yml generates, but for the date" {
  generated="$BATS_TEST_TMPDIR/artifacthub-pkg.yml"
  kwctl scaffold artifacthub --output "$generated"
  diff --unified --ignore-matching-lines '^createdAt:' \
    artifacthub-pkg.yml <(release/artifacthub-pkg.sh <"$generated")
}
