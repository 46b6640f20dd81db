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
# What `make binary` builds for, as Rust names it, and as archives and images name it: linux_amd64.
TARGET := $(patsubst arm64,aarch64,$(shell uname -m))-unknown-linux-musl
TARGET_OS := $(or $(findstring linux,$(TARGET)),$(findstring windows,$(TARGET)),darwin)
PLATFORM := $(TARGET_OS)_$(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(firstword $(subst -, ,$(TARGET)))))
BINARY := acr-credential-sidecar$(if $(filter windows,$(TARGET_OS)),.exe)
# Helm and helm-docs, in the versions that e2e-tests/helm/go.mod names.
HELM := e2e-tests/helm/bin/helm
HELM_DOCS := e2e-tests/helm/bin/helm-docs
# It builds the site, and nothing else needs it.
MDBOOK_VERSION := 0.5.4
MDBOOK := target/mdbook-$(MDBOOK_VERSION)/bin/mdbook
CHART := charts/acr-credential-helper
# No paths of this machine in what Go builds, nothing for debuggers, which would cost a tenth of the build, and no C.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -trimpath -gcflags=all=-dwarf=false
# What is done now, and in a target that sets STEPS, which step of how many it is.
say = @printf '\n▸ %s%s\n' "$(if $(STEPS),$(if $(2),[$(2)/$(STEPS)] ))" "$(1)"

# Builds a Go program: its directory, flags, where it goes, packages. Go itself shows nothing for minutes, but -v names each package that
# it compiles: they are counted. GOGC makes the compiler collect garbage less often, which saves some of its time.
define go-build
@cd $(1) && total="$$(go list $(2) -deps $(4) | wc -l)" && \
  GOGC=400 go build -v -ldflags='-s -w' $(2) -o $(3) $(4) 2>&1 | \
  awk -v total="$$total" -v terminal="$$([ ! -t 1 ] || echo 1)" ' \
    /[ :]/ { print; next } \
    { n++ } \
    terminal { printf "\r  %d of at most %d packages", n, total; fflush() } \
    !terminal && n % 200 == 0 { printf "  %d of at most %d packages\n", n, total; fflush() } \
    END { if (terminal && n) print "" }'
endef

.PHONY: help
help: ## List the targets
	@printf 'Usage: make TARGET\n\n'
	@awk -F ':.*## ' '/^[a-zA-Z0-9_.-]+:.*## / { printf "  %-24s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build-demo ## Play the whole product on a real Kubernetes control plane and a fake cloud, in a minute
	@e2e-tests/target/debug/demo

.PHONY: demo-shell
demo-shell: build-demo ## Set the same up, say what to try, and leave it to you
	@e2e-tests/target/debug/demo --shell

.PHONY: build-demo
build-demo: STEPS := 4
build-demo: wasm sidecar $(CLUSTER)
	$(call say,Building the demo,4)
	cargo build --locked $(E2E_MANIFEST) --bin demo

.PHONY: test
test: test-unit test-fake-cloud test-docs test-cluster test-chart test-system ## Run all tests

.PHONY: test-unit
test-unit: toolchain ## Run the tests of the policy and of the sidecar, natively
	$(call say,Testing the policy and the sidecar)
	cargo test --locked --workspace

.PHONY: test-fake-cloud
test-fake-cloud: toolchain ## Run the tests of the fake cloud, what the official SDKs sent among them
	$(call say,Testing the fake cloud)
	cargo test --locked $(E2E_MANIFEST) -p acr-fake-cloud

.PHONY: test-docs
test-docs: sidecar ## Run the tests of the pictures and of the site
	$(call say,Testing the pictures and the site)
	cargo test --locked $(E2E_MANIFEST) -p acr-documentation

.PHONY: test-cluster
test-cluster: $(CLUSTER) ## Run the tests of the test bed's control plane
	$(call say,Testing the control plane)
	@# Vetting all of Kubernetes is for `make lint`.
	cd e2e-tests/cluster && go test -vet=off ./...

.PHONY: test-chart
test-chart: $(HELM) ## Run the tests of the chart that need no cluster
	$(call say,Testing what the chart renders)
	@# -count=1: Go does not notice that files outside of the module changed.
	cd e2e-tests/helm && go test -vet=off -count=1 ./...

.PHONY: test-system
test-system: wasm sidecar static guests $(CLUSTER) $(HELM) ## Run the compiled policy on a real control plane, and the sidecar on the fake cloud
	$(call say,Testing the whole on a real control plane and the fake cloud (the first build takes some minutes))
	@# Most of these tests wait most of the time, so more of them run at once than there are cores.
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} cargo test --locked $(E2E_MANIFEST)

# What depends on the version of Kubernetes: policies and their conditions, rights, the fence, the life of a release, lists of service
# accounts, Events, renewals.
VERSION_TESTS := pods:: workloads:: service_accounts:: availability:: chart:: sidecar::

.PHONY: test-oldest test-newest
test-oldest: ## Run the system tests that depend on Kubernetes on the oldest version that is supported
test-newest: ## The same on the newest version
test-oldest test-newest: test-%: wasm sidecar static guests $(CLUSTER)-% $(HELM)
	$(call say,Testing on Kubernetes $(call kubernetes,$*))
	@# The test that is skipped needs a MutatingAdmissionPolicy of v1, which came with 1.36.
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} CLUSTER_BIN=$(CURDIR)/$(CLUSTER)-$* \
	  cargo test --locked $(E2E_MANIFEST) --test it -- $(VERSION_TESTS) $(if $(filter oldest,$*),--skip a_label_that_something_puts_on_every_secret)

.PHONY: soak
soak: wasm sidecar static guests $(CLUSTER) $(HELM) ## Kill the sidecar SOAK_KILLS times (1000) amid faults and noise, and count what is lost
	$(call say,Killing the sidecar again and again)
	SOAK_KILLS=$${SOAK_KILLS:-1000} cargo test --locked $(E2E_MANIFEST) --test it -- faults::soak --nocapture

# Where fuzzers keep what they find, apart from the corpus that the tests replay.
FUZZ_FOUND := fuzz/target/found

.PHONY: fuzz
fuzz: ## Fuzz what reads the texts of strangers, FUZZ_SECONDS each (600; needs cargo-fuzz and a nightly toolchain)
	@for target in $(notdir $(wildcard fuzz/corpus/*)); do \
	  printf '\n▸ Fuzzing %s\n' "$$target"; mkdir -p "$(FUZZ_FOUND)/$$target"; \
	  cargo +nightly fuzz run "$$target" "$(FUZZ_FOUND)/$$target" "fuzz/corpus/$$target" -- -max_total_time=$${FUZZ_SECONDS:-600} -print_final_stats=1; \
	done

.PHONY: conformance
conformance: $(CONFORMANCE_VENV)/installed fake-cloud ## Run Alibaba Cloud's official SDKs against the fake cloud (needs Python 3)
	$(call say,Running the official SDKs against the fake cloud)
	$(CONFORMANCE_VENV)/bin/python $(CONFORMANCE)/conformance.py --fake $(FAKE_CLOUD)

.PHONY: conformance-record
conformance-record: $(CONFORMANCE_VENV)/installed fake-cloud ## The same, and keep what they send for the tests to replay
	$(call say,Recording what the official SDKs send)
	$(CONFORMANCE_VENV)/bin/python $(CONFORMANCE)/conformance.py --fake $(FAKE_CLOUD) --record

.PHONY: bench
bench: wasm guests static $(CLUSTER) ## Compare the speed of the policy and of the sidecar with others, side by side
	$(call say,Building the benchmarks)
	@# In the profile `bench`, where everything is optimised, the fake cloud too.
	cargo build --locked --profile bench $(E2E_MANIFEST) -p acr-fake-cloud
	@# One of them alone, or parts of it: cargo bench … --bench controller -- fill rest latency large
	cargo bench --locked $(E2E_MANIFEST)

# Without comments, blank lines and tests.
CODE := awk 'FNR == 1 { test = 0 } $$1 == "\#[cfg(test)]" { test = 1 } !test && NF && $$1 !~ "^//" { n++ } END { print n }'

.PHONY: count
count: ## Count the lines of code of the sidecar, and of the policy with core
	@for dirs in 'sidecar/src' 'src core/src'; do \
	  printf '%-14s ' "$$dirs"; git ls-files $$dirs | grep '\.rs$$' | grep -Ev '(^|/)(tests?|testing)(/|\.rs$$)' | xargs $(CODE); \
	done

.PHONY: lint
lint: toolchain $(HELM) ## Check formatting, lints, words and, where cargo-deny is installed, dependencies
	cargo fmt --all --check
	cargo fmt --all --check $(E2E_MANIFEST)
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --target wasm32-wasip1 -- -D warnings
	cargo clippy --locked --workspace --all-targets $(E2E_MANIFEST) -- -D warnings
	@unformatted="$$(gofmt -l e2e-tests/cluster e2e-tests/helm)"; [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	cd e2e-tests/cluster && go vet ./...
	cd e2e-tests/helm && go vet ./...
	for values in $(CHART)/ci/*-values.yaml; do $(HELM) lint --strict --quiet --values "$$values" $(CHART); done
	@! git grep -nIiwE -f .words -- '*.md' '*.yml' '*.yaml' '*.txt' '*.tpl' '*.gotmpl' 'sidecar/src/*.rs' 'core/src/*.rs' 'src/*.rs' ':!:*tests*' \
	  || { echo 'Use a plainer word than these: .words lists them'; exit 1; }
	@if command -v cargo-deny > /dev/null; then cargo deny check bans licenses sources; \
	  else echo 'cargo-deny is not installed: dependencies are not checked'; fi

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all
	cargo fmt --all $(E2E_MANIFEST)
	gofmt -w e2e-tests/cluster e2e-tests/helm

.PHONY: policy
policy: policy.wasm ## Build the wasm module, and annotate it where kwctl is installed
	@if command -v kwctl > /dev/null; then $(MAKE) --no-print-directory annotated-policy.wasm; \
	  else echo 'kwctl is not installed: the module is not annotated'; fi
	@ls -l $(WASM)

policy.wasm: wasm ## Build the wasm module as Kubewarden's tools name it
	cp $(WASM) $@

annotated-policy.wasm: policy.wasm metadata.yml README.md ## Add the metadata to the wasm module (needs kwctl)
	release/absolute-links.sh < README.md > target/README.md
	kwctl annotate -m metadata.yml -u target/README.md -o $@ policy.wasm

.PHONY: artifacthub-pkg.yml
artifacthub-pkg.yml: ## Write Artifact Hub's package out of metadata.yml and questions-ui.yml (needs kwctl)
	@mkdir -p target
	kwctl scaffold artifacthub --output target/$@
	release/artifacthub-pkg.sh < target/$@ > $@

.PHONY: e2e-tests
e2e-tests: annotated-policy.wasm ## Run the kwctl tests (need kwctl, bats and jq)
	bats e2e-tests/policy.bats

.PHONY: fixtures
fixtures: guests $(CLUSTER) ## Record the requests in tests/fixtures from a real API server
	cargo run --locked $(E2E_MANIFEST) --bin record-fixtures

.PHONY: chart
chart: $(HELM) ## Write the README of the chart, deploy/ and the snapshots of the tests, out of the chart
	$(HELM_DOCS) --chart-search-root=charts --skip-version-footer --sort-values-order=file --log-level=warning
	cd e2e-tests/helm && go run .

.PHONY: cli
cli: toolchain ## Write docs/cli.md, out of the help of the commands
	UPDATE_DOCS=1 cargo test --locked -p acr-credential-sidecar --lib the_page_about_the_command_line

.PHONY: pictures
pictures: sidecar ## Draw the pictures of the pages
	cargo run --locked $(E2E_MANIFEST) -p acr-documentation --bin pictures

.PHONY: record-demo
record-demo: build-demo ## Record the demo for its picture, and draw the pictures
	CLICOLOR_FORCE=1 e2e-tests/target/debug/demo > e2e-tests/documentation/pictures/demo.txt
	@$(MAKE) --no-print-directory pictures

.PHONY: docs
docs: $(MDBOOK) ## Build the site of the documentation, in target/site/book
	cargo run --locked $(E2E_MANIFEST) -p acr-documentation --bin site
	$(MDBOOK) build target/site

.PHONY: clean
clean: ## Remove everything that was built
	cargo clean
	cargo clean $(E2E_MANIFEST)
	rm -rf e2e-tests/cluster/bin e2e-tests/helm/bin policy.wasm annotated-policy.wasm dist

.PHONY: toolchain
toolchain:
	@# A rustup from before 1.28 installs what rust-toolchain.toml names by itself.
	@! command -v rustup > /dev/null || rustup toolchain install > /dev/null 2>&1 || rustup show active-toolchain

.PHONY: wasm
wasm: toolchain
	$(call say,Building the policy,1)
	cargo build --locked --release --target wasm32-wasip1

.PHONY: sidecar
sidecar: toolchain ## Build the sidecar
	$(call say,Building the sidecar,2)
	cargo build --locked -p acr-credential-sidecar

.PHONY: static
static: binary ## Build the sidecar as one static binary, as the image holds it (on Linux)

.PHONY: binary
binary: toolchain ## Build the sidecar for TARGET, such as aarch64-apple-darwin, in dist/
	$(call say,Building the sidecar for $(TARGET))
	rustup target add $(TARGET)
	@# ring's C code asks nothing of a C library, so the machine's own compiler serves for musl. No path of this machine gets into the binary.
	$(if $(findstring musl,$(TARGET)),CC_$(subst -,_,$(TARGET))="$${CC_$(subst -,_,$(TARGET)):-cc}") \
	  RUSTFLAGS='--remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo' \
	  cargo $(AUDITABLE) build --locked --release --target $(TARGET) -p acr-credential-sidecar
	mkdir -p dist/$(PLATFORM)
	cp target/$(TARGET)/release/$(BINARY) dist/$(PLATFORM)/

.PHONY: release-files
release-files: ## Pack the binaries in dist/ with checksums and the manifests for krew and Hauler, in dist/release/
	release/pack.sh

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
	$(call say,Building etcd$(comma) kube-apiserver$(comma) kube-controller-manager and kubectl into one binary (the first time: half of the work),3)
	$(call go-build,e2e-tests/cluster,,bin/cluster,.)

# The same sources, with the libraries of another version.
kubernetes = $(shell awk '$$1 == "k8s.io/kubernetes" { print $$2 }' e2e-tests/cluster/$(1).mod)
$(CLUSTER)-oldest $(CLUSTER)-newest: $(CLUSTER)-%: $(CLUSTER_SOURCES) e2e-tests/cluster/%.mod e2e-tests/cluster/%.sum
	$(call say,Building the control plane of Kubernetes $(call kubernetes,$*) (the first time takes some minutes))
	$(call go-build,e2e-tests/cluster,-modfile=$*.mod,bin/cluster-$*,.)

.PHONY: helm
helm: $(HELM)

$(HELM): e2e-tests/helm/go.mod e2e-tests/helm/go.sum
	$(call say,Building Helm (the first time takes some minutes))
	$(call go-build,e2e-tests/helm,,bin/,helm.sh/helm/v4/cmd/helm github.com/norwoodj/helm-docs/cmd/helm-docs)
	@# What go finds up to date it does not touch.
	@touch $@

$(MDBOOK):
	$(call say,Installing mdBook (this takes some minutes))
	cargo install mdbook --version $(MDBOOK_VERSION) --locked --no-default-features --features search --root target/mdbook-$(MDBOOK_VERSION)

comma := ,
