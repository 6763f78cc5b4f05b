# The commands of this repository. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What tests and benches are built with; releases leave `crash-points` out.
FEATURES := librdkafka,crash-points

DENY_VERSION := 0.20.2
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kastellan/tools
FUZZ_SECONDS := 60

.PHONY: help
help: ## lists the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: demo
demo: ## shows everything on a real Kafka, in a minute once it is built
	@tests/prerequisites.sh demo
	@test -x "$${CARGO_TARGET_DIR:-target}/debug/kastellan" \
	    || echo "Building Kastellan. The first time, this takes some minutes: time for a coffee."
	@cargo build --locked --bin kastellan --example demo
	@cargo run --quiet --locked --example demo

.PHONY: demo-vault
demo-vault: ## shows the same with a real Vault, and with a Kubernetes API
	@tests/prerequisites.sh demo-vault
	@cargo build --locked --bin kastellan --example demo
	@cargo run --quiet --locked --example demo -- vault

.PHONY: sandbox
sandbox: ## starts a real Kafka to play with, until Ctrl-D
	@tests/prerequisites.sh demo
	@cargo build --locked --bin kastellan --example sandbox
	@cargo run --quiet --locked --example sandbox -- 3

.PHONY: test
test: lint deny ## checks everything: format, lints, dependencies, unit tests, real servers
	cargo test --locked --features $(FEATURES)

.PHONY: soak
soak: prerequisites ## rotates under load for SOAK_MINUTES (10), and prints a table
	@cargo build --locked --features $(FEATURES) --bin kastellan --example soak
	@cargo run --quiet --locked --features $(FEATURES) --example soak

.PHONY: simulate
simulate: prerequisites ## simulates rotation from SIMULATION_SEEDS (20000) seeds, from SIMULATION_FIRST (0) on
	SIMULATION_SEEDS=$${SIMULATION_SEEDS:-20000} \
	    cargo test --locked --features $(FEATURES) --test suite simulation::every_seed -- --nocapture

.PHONY: bench
bench: prerequisites ## measures the limits of the design, with their floors
	cargo bench --locked --features $(FEATURES)

.PHONY: lint
lint: prerequisites ## checks the format and the lints
	cargo fmt --check
	cargo clippy --locked --all-targets --features $(FEATURES) -- -D warnings

.PHONY: fmt
fmt: ## formats the source
	cargo fmt

.PHONY: deny
deny: prerequisites ## checks bans, licences and sources of the dependencies
	@PATH="$(TOOLS)/bin:$$PATH"; command -v cargo-deny >/dev/null \
	    || cargo install --locked --root "$(TOOLS)" cargo-deny@$(DENY_VERSION)
	PATH="$(TOOLS)/bin:$$PATH" cargo deny --locked --config .deny.toml check bans licenses sources

.PHONY: fuzz
fuzz: ## feeds random input to every parser; needs a nightly toolchain and cargo-fuzz
	@cargo +nightly fuzz --version >/dev/null 2>&1 \
	    || { echo "Please run: rustup toolchain install nightly && cargo install cargo-fuzz" >&2; exit 1; }
	cd tests/fuzz; for target in $$(cargo +nightly fuzz list --fuzz-dir .); do \
	    cargo +nightly fuzz run --fuzz-dir . "$$target" -- -max_total_time=$(FUZZ_SECONDS); done

.PHONY: prerequisites
prerequisites: ## looks for what building and testing needs, and installs it where it can
	@tests/prerequisites.sh
