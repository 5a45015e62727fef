# The one list of commands; .ci/run and people call the same ones. Each sets up what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CARGO ?= cargo
export CARGO_TARGET_DIR ?= $(CURDIR)/target
FAKE_S3 := $(CARGO_TARGET_DIR)/release/fake-s3

#: processes that share the Python tests: they wait more than they work
TEST_WORKERS ?= 2
#: seconds of fuzzing for each target in `make deep`
FUZZ_SECONDS ?= 600
#: seconds of `make soak`
SOAK_SECONDS ?= 600

.PHONY: help setup develop servers demo test test-rust test-python test-memory deep soak lint format bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(BIN)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("s3z needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "maturin>=1.9,<2" boto3 "moto[s3,server]>=5" numpy psutil "pytest>=8" pytest-timeout pytest-xdist \
		blake3 "backports.zstd; python_version < '3.14'" duckdb polars pyarrow pyzstd zstandard tqdm "mypy>=1.15" "ruff>=0.12" types-tqdm
	touch $@

setup: $(BIN)/.ready ## the virtual environment with everything tests and lints need

develop: setup ## build the native module into the virtual environment
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --quiet
	@# An installed package brings its bytecode; an editable one should start as fast.
	$(BIN)/python -m compileall -q python/s3z

servers: ## build the test server
	$(CARGO) build --release --quiet --locked -p fake-s3

demo: develop servers ## real transfers through a local S3 server, beside boto3
	$(BIN)/python benches/demo.py --server $(FAKE_S3)

test: test-rust test-python ## every test

test-rust:
	$(CARGO) test --quiet --locked --workspace

test-python: develop servers
	FAKE_S3_BIN=$(FAKE_S3) $(BIN)/python -m pytest -q -n $(TEST_WORKERS) --dist worksteal

# The files with `unsafe` under miri. A sample of `deep/run memory`; needs a nightly compiler.
test-memory:
	MIRI_SEEDS=2 deep/run memory

deep: ## the long proofs: fuzzing (FUZZ_SECONDS a target), miri, shuttle, sanitizers, kills, mutations (deep/README.md)
	FUZZ_SECONDS=$(FUZZ_SECONDS) FAKE_S3_BIN=$(FAKE_S3) deep/run

soak: develop servers ## writers and readers through faults, for SOAK_SECONDS (deep/README.md)
	FAKE_S3_BIN=$(FAKE_S3) $(BIN)/python deep/soak.py --seconds $(SOAK_SECONDS)

lint: setup ## what CI refuses: formatting, clippy, ruff, mypy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --locked --workspace --exclude models --all-targets --features s3z/python -- -D warnings
	@# Not the unit tests of the files it includes: they are the core's own.
	$(CARGO) clippy --quiet --locked -p models --test '*' -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## rewrite the sources as the lints want them
	$(CARGO) fmt --all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: develop servers ## compare with the peers that are installed (benches/README.md)
	$(CARGO) build --release --quiet --locked -p floor
	$(BIN)/python benches/run.py

clean: ## remove what the commands above made
	rm -rf $(VENV) target
