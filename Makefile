# `make` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

WASM := target/wasm32-wasip1/release/acr_credential_helper_policy.wasm
E2E_MANIFEST := --manifest-path e2e-tests/Cargo.toml
CLUSTER := e2e-tests/cluster/bin/cluster
CONFORMANCE := e2e-tests/fake-cloud/conformance
# Below `target`, where `make clean` finds it and git does not.
CONFORMANCE_VENV := e2e-tests/target/conformance
FAKE_CLOUD := e2e-tests/target/debug/fake-cloud
CLUSTER_SOURCES := $(filter-out %_test.go,$(wildcard e2e-tests/cluster/*.go)) e2e-tests/cluster/go.mod e2e-tests/cluster/go.sum
say = @printf '\n▸ %s\n' "$(1)"

.PHONY: help
help: ## List the targets
	@printf 'Usage: make TARGET\n\n'
	@awk -F ':.*## ' '/^[a-zA-Z0-9_.-]+:.*## / { printf "  %-24s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: wasm sidecar $(CLUSTER) ## Mint credentials, and show the policy at work on a real Kubernetes API server
	$(call say,Building the demo (the first time takes some minutes))
	cargo build --locked $(E2E_MANIFEST) --bin demo
	@e2e-tests/target/debug/demo

.PHONY: test
test: test-unit test-fake-cloud test-cluster test-system ## Run all tests

.PHONY: test-unit
test-unit: toolchain ## Run the tests of the policy and of the sidecar, natively
	$(call say,Testing the policy and the sidecar)
	cargo test --locked --workspace

.PHONY: test-fake-cloud
test-fake-cloud: toolchain ## Run the tests of the fake cloud, what the official SDKs sent among them
	$(call say,Testing the fake cloud)
	cargo test --locked $(E2E_MANIFEST) -p acr-fake-cloud

.PHONY: test-cluster
test-cluster: $(CLUSTER) ## Run the tests of the test bed's control plane
	$(call say,Testing the control plane)
	@# With the flag of the build, whose packages it then uses again. Vetting all of Kubernetes is for `make lint`.
	cd e2e-tests/cluster && go test -trimpath -vet=off ./...

.PHONY: test-system
test-system: wasm sidecar guests $(CLUSTER) ## Run the compiled policy on a real control plane, and the sidecar on the fake cloud
	$(call say,Testing the whole on a real control plane and the fake cloud (the first build takes some minutes))
	cargo test --locked $(E2E_MANIFEST)

.PHONY: conformance
conformance: $(CONFORMANCE_VENV)/installed fake-cloud ## Run Alibaba Cloud's official SDKs against the fake cloud (needs Python 3)
	$(call say,Running the official SDKs against the fake cloud)
	$(CONFORMANCE_VENV)/bin/python $(CONFORMANCE)/conformance.py --fake $(FAKE_CLOUD)

.PHONY: conformance-record
conformance-record: $(CONFORMANCE_VENV)/installed fake-cloud ## The same, and keep what they send for the tests to replay
	$(call say,Recording what the official SDKs send)
	$(CONFORMANCE_VENV)/bin/python $(CONFORMANCE)/conformance.py --fake $(FAKE_CLOUD) --record

.PHONY: bench
bench: wasm guests fake-cloud ## Compare the speed of the policy and of the sidecar with others, side by side
	$(call say,Building the benchmarks)
	cargo build --locked --release -p acr-credential-sidecar
	@# The profile of the tests: its dependencies are optimised, and built already.
	cargo bench --locked --profile dev $(E2E_MANIFEST)

.PHONY: lint
lint: toolchain ## Check formatting, lints and, where cargo-deny is installed, dependencies
	cargo fmt --all --check
	cargo fmt --all --check $(E2E_MANIFEST)
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --target wasm32-wasip1 -- -D warnings
	cargo clippy --locked --workspace --all-targets $(E2E_MANIFEST) -- -D warnings
	@unformatted="$$(gofmt -l e2e-tests/cluster)"; [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	cd e2e-tests/cluster && go vet -trimpath ./...
	@if command -v cargo-deny > /dev/null; then cargo deny check bans licenses sources; \
	  else echo 'cargo-deny is not installed: dependencies are not checked'; fi

.PHONY: policy
policy: wasm ## Build the wasm module, and annotate it where kwctl is installed
	@if command -v kwctl > /dev/null; then $(MAKE) --no-print-directory annotated-policy.wasm; \
	  else echo 'kwctl is not installed: the module is not annotated'; fi
	@ls -l $(WASM)

annotated-policy.wasm: wasm metadata.yml README.md ## Add the metadata to the wasm module (needs kwctl)
	kwctl annotate -m metadata.yml -u README.md -o annotated-policy.wasm $(WASM)

.PHONY: e2e-tests
e2e-tests: annotated-policy.wasm ## Run the kwctl tests (need kwctl, bats and jq)
	bats e2e-tests/policy.bats

.PHONY: fixtures
fixtures: guests $(CLUSTER) ## Record the requests in tests/fixtures from a real API server
	cargo run --locked $(E2E_MANIFEST) --bin record-fixtures

.PHONY: clean
clean: ## Remove everything that was built
	cargo clean
	cargo clean $(E2E_MANIFEST)
	rm -rf e2e-tests/cluster/bin annotated-policy.wasm

.PHONY: toolchain
toolchain:
	@# A rustup from before 1.28 installs what rust-toolchain.toml names by itself.
	@! command -v rustup > /dev/null || rustup toolchain install > /dev/null 2>&1 || rustup show active-toolchain

.PHONY: wasm
wasm: toolchain
	$(call say,Building the policy)
	cargo build --locked --release --target wasm32-wasip1

.PHONY: sidecar
sidecar: toolchain ## Build the sidecar
	$(call say,Building the sidecar)
	cargo build --locked -p acr-credential-sidecar

.PHONY: guests
guests: toolchain
	$(call say,Building the policies to compare with)
	cargo build --locked --release --target wasm32-wasip1 $(E2E_MANIFEST) -p accept-everything -p typed-mutator

.PHONY: fake-cloud
fake-cloud: toolchain
	$(call say,Building the fake cloud)
	cargo build --locked $(E2E_MANIFEST) -p acr-fake-cloud

$(CONFORMANCE_VENV)/installed: $(CONFORMANCE)/requirements.txt
	$(call say,Installing the official SDKs)
	rm -rf $(CONFORMANCE_VENV)
	python3 -m venv $(CONFORMANCE_VENV)
	$(CONFORMANCE_VENV)/bin/pip install --quiet --requirement $<
	@touch $@

.PHONY: cluster
cluster: $(CLUSTER)

$(CLUSTER): $(CLUSTER_SOURCES)
	$(call say,Building etcd$(comma) kube-apiserver$(comma) kube-controller-manager and kubectl into one binary (the first time takes some minutes))
	cd e2e-tests/cluster && go build -trimpath -ldflags='-s -w' -o bin/cluster .

comma := ,
