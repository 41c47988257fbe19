# Everything runs in .venv, which the first command makes; needs Python >= 3.11 only.
VENV := .venv
PYTHON := $(VENV)/bin/python
RUNTIME := $(VENV)/runtime.stamp
DEV := $(VENV)/dev.stamp
PEERS := nannyml evidently

.PHONY: help demo serve test lint bench bench-peers lock

help:
	@echo "make demo    start everything and replay real credit data (ARGS=--exit to end)"
	@echo "make serve   start everything, without data"
	@echo "make test    the whole test suite"
	@echo "make lint    the static checks"
	@echo "make bench   the measurements"
	@echo "make bench-peers  the measurements against NannyML, Evidently and scipy"
	@echo "make lock    pin the dependencies of requirements/*.in anew (needs uv)"

demo: $(RUNTIME)
	@$(PYTHON) manage.py demo $(ARGS)

serve: $(RUNTIME)
	@$(PYTHON) manage.py serve $(ARGS)

test: $(DEV)
	@$(PYTHON) -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder $(ARGS)

bench: $(DEV)
	@$(PYTHON) -m tests.bench $(ARGS)

# Each peer has an environment of its own, as it pins what DriftGuard needs newer.
bench-peers: $(DEV) $(PEERS:%=$(VENV)/peers/%/stamp)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PYTHON) -m tests.bench.peers $(VENV)/peers $(ARGS)

lint: $(DEV)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	cd client && ../$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	DRIFTGUARD_DATA_DIR=$(VENV)/lint $(PYTHON) manage.py check --fail-level WARNING
	DRIFTGUARD_DATA_DIR=$(VENV)/lint $(PYTHON) manage.py makemigrations --check --dry-run
	$(VENV)/bin/codespell
	$(VENV)/bin/bandit -q -c pyproject.toml -r driftguard governance monitoring --severity-level medium

lock:
	cd requirements && for name in runtime dev $(PEERS:%=peers/%); do \
	  uv pip compile --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-strip-extras --no-annotate --no-header \
	    --quiet --output-file $$name.txt $$name.in || exit 1; \
	done

$(RUNTIME): requirements/runtime.txt requirements/install
	@requirements/install $(VENV) requirements/runtime.txt
	@touch $@

$(DEV): requirements/dev.txt requirements/install
	@requirements/install $(VENV) requirements/dev.txt
	@touch $(RUNTIME) $@

$(VENV)/peers/%/stamp: requirements/peers/%.txt requirements/install | $(DEV)
	@requirements/install $(VENV)/peers/$* requirements/peers/$*.txt
	@touch $@
