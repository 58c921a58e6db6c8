# The tasks of this repository. Each one does its own set-up: on a Debian machine with only Rust, `make run` and `make test`
# are all there is to type. Once set up, they work without a network.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Arguments for the program itself: make run ARGS="--listen 127.0.0.1:9000"
ARGS ?=
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help run test bench bench-postgres check fmt clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build the release binary and start everything on 127.0.0.1:8071
	@scripts/setup.sh build
	cargo build --release --locked --package hookpost
	exec $(TARGET_DIR)/release/hookpost dev $(ARGS)

test: ## everything that must hold: format, lints, arrows, licences, unit tests, SDKs, wire, delivery, receiving, docs, kill test
	@scripts/setup.sh test
	@python3 scripts/test.py $(ARGS)

bench: ## the scenarios with their ratios to the bare forwarder (several minutes; wants a quiet machine)
	@scripts/setup.sh build
	cargo build --release --locked --package hookpost --package hookpost-bench
	exec $(TARGET_DIR)/release/hookpost-bench $(ARGS)

bench-postgres: ## the same on a PostgreSQL that is started for it, with one node and with two
	@scripts/setup.sh test
	cargo build --release --locked --package hookpost --package hookpost-bench
	exec $(TARGET_DIR)/release/hookpost-bench --database postgres $(ARGS)

check: ## the quick part of `make test`: format, lints, arrows, licences
	@scripts/setup.sh build
	@python3 scripts/test.py --only format --only clippy --only arrows --only dependencies $(ARGS)

fmt: ## format the code
	cargo fmt --all

clean: ## remove what was built and installed here (not ./hookpost-data)
	cargo clean
	rm -rf tests/.cache examples/node/node_modules tests/sdk/javascript/node_modules tests/receive/javascript/node_modules
	find tests examples scripts -name __pycache__ -prune -exec rm -rf {} +
