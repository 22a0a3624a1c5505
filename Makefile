# What a person or CI does here. A fresh machine needs make, bash, python3 (3.11 or newer, with venv), git, go and gcc;
# the rest is installed or built, once, under ~/.cache/flow-operator and .venv.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

VENV := .venv/.stamp
STEP := hack/step
export FLOW_CLUSTER_STATE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flow-operator/cluster
# Without bytecode every process of the tests compiles what it imports, which takes longer than the rest of most of them;
# some machines forbid writing it. It is kept out of the sources.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/.build/pycache
export PATH := $(FLOW_CLUSTER_STATE)/bin:$(CURDIR)/.venv/bin:$(PATH)

##@ See it

.PHONY: help
help: ## Print this.
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV) cluster ## A flow from source to result on an auto-scaling Dask cluster, on this machine.
	@hack/demo

.PHONY: cluster
cluster: up images install ## The test cluster with the operator installed; kubectl points at it.
	@kubectl config use-context kind-flow-operator >/dev/null

##@ Check it

.PHONY: test
test: verify tools unit chart cluster e2e ## Everything below, then the e2e tests on the cluster.
	@echo "==> all tests have passed" >&2

.PHONY: verify
verify: $(VENV) ## Lint, types, import contracts; lock files and generated files are what they should be.
	@hack/verify

.PHONY: unit
unit: $(VENV) ## Tests that need no cluster.
	@$(STEP) "unit, contract and golden tests" pytest -q -n auto tests/unit tests/contract tests/golden

.PHONY: chart
chart: $(VENV) tools ## The chart: lint, schema, what it renders, its RBAC.
	@$(STEP) "helm lint" helm lint --strict --quiet helm/flow-operator --set registry=localhost:5001/flows
	@FLOW_OPERATOR_NEEDS_HELM=1 $(STEP) "chart tests" pytest -q tests/contract/test_chart.py tests/contract/test_rbac.py

.PHONY: e2e
e2e: $(VENV) cluster ## Tests on the cluster.
	@$(STEP) "tests that leave each other alone, two modules at a time" \
		pytest -v -n 2 --dist loadfile --no-loadscope-reorder --durations=15 -m "not alone" tests/integration tests/e2e
	@$(STEP) "tests that must be alone" pytest -v --durations=15 -m alone tests/e2e

.PHONY: bench
bench: $(VENV) cluster ## Measure it against its targets and its peers.
	@hack/bench

##@ Work on it

.PHONY: up
up: ## Only the cluster and its registry.
	@tests/cluster/cluster up

.PHONY: tools
tools: ## Only kind, kubectl and helm.
	@tests/cluster/cluster tools

.PHONY: images
images: ## Build and push the images that the registry lacks.
	@hack/images >/dev/null

.PHONY: install
install: ## Install or upgrade the chart in the cluster.
	@hack/install

.PHONY: generate
generate: $(VENV) ## Write the CRDs and the chart's copies of them.
	@hack/generate

.PHONY: lock
lock: $(VENV) ## Resolve the lock files anew. Newest versions: hack/lock --latest
	@hack/lock

.PHONY: fmt
fmt: $(VENV) ## Format, and mend what the linter can.
	@ruff check --fix --quiet || true
	@ruff format

.PHONY: clean
clean: ## Delete the cluster, .venv and our caches in this folder.
	@tests/cluster/cluster down
	@rm -rf .venv .build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis bench-results

.PHONY: purge
purge: clean ## Also delete the binaries and images built for the cluster (the next one takes minutes).
	@tests/cluster/cluster purge

$(VENV): requirements/dev.lock pyproject.toml  # versions from the one, console scripts from the other
	@$(STEP) "Python environment in .venv" hack/venv
