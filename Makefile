# `make explore` and `make test` work in a fresh clone: they set up .venv first. `make help` lists the rest.

PYTHON ?= python3
VENV   ?= .venv
RUN    ?= fixtures/runs/reference
PROBLEMS ?= fixtures/problems/released.json
CONFIG ?= configs/first.yaml
OUT    ?= runs

PY    := $(VENV)/bin/python
PIP   := $(PY) -m pip --disable-pip-version-check install -qq --constraint constraints.txt
# uv downloads and installs in parallel. It does not read pip's variables, so two are passed on; if uv fails, pip is used.
UV    := $(VENV)/bin/uv pip install --quiet --python $(PY) --compile-bytecode --constraint constraints.txt \
         $(addprefix --find-links ,$(PIP_FIND_LINKS)) $(addprefix --default-index ,$(PIP_INDEX_URL))
STAMP := $(VENV)/.set-up
LAB   := $(VENV)/.lab

.DEFAULT_GOAL := help
.PHONY: help setup explore lab test lint format docs train report screenshot notebooks constraints lock release

help: ## List the commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install everything into .venv (the others do this first)

# torch is named although the project asks for it: where it is there already (a CPU build, say), it stays.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no '$(PYTHON)' here. Name a Python 3.11 or newer: make $(or $(MAKECMDGOALS),setup) PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Coconut Workbench needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)."; \
	  echo "Name another one: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its module venv is missing."; \
	  echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Setting up $(VENV) (the first time takes some minutes, most of them for PyTorch) ..."
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(PIP) uv && $(UV) torch --editable '.[app,base,notebooks,dev,docs]' || { \
	  echo "uv could not install everything. Trying pip ..."; \
	  $(PIP) torch && $(PIP) --editable '.[app,base,notebooks,dev,docs]'; }
	@touch $@
	@echo "Set up. The command is $(VENV)/bin/workbench"

explore: setup ## Open the explorer on the bundled model
	@$(VENV)/bin/streamlit run apps/explorer.py

lab: $(LAB) ## Open the notebooks in JupyterLab, which the first time installs
	@PYTHONWARNINGS='ignore:IProgress not found' $(VENV)/bin/jupyter lab --notebook-dir=probes

$(LAB): $(STAMP)
	@echo "Installing JupyterLab ..."
	@$(PIP) --editable '.[lab]'
	@touch $@

# Workers of one thread each, a file of tests at a time: two threads on one small model are slower than one.
test: lint ## Run every check: ruff, pyrefly, pytest
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: setup ## Run ruff and pyrefly
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/pyrefly check --python-interpreter-path $(PY)

format: setup ## Let ruff mend what it can
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

docs: setup ## Build the documentation site (open site/index.html); warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

train: setup ## Train a small model in about 4 minutes (CONFIG=... for another)
	@$(VENV)/bin/workbench train $(CONFIG)

report: setup ## Write the batch report (RUN=..., PROBLEMS=..., OUT=...)
	@$(VENV)/bin/workbench report $(RUN) $(PROBLEMS) --out $(OUT)/report

screenshot: setup ## Take the README's screenshots again (needs Chromium)
	@$(PY) docs/screenshot.py

notebooks: setup ## Run the notebooks again and keep their outputs (NAMES="tour ..." for some; needs Chromium)
	@$(PY) docs/notebooks.py $(NAMES)

constraints: setup ## Write constraints.txt from .venv
	@$(PY) -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.new && mv constraints.new constraints.txt

lock: setup ## Write requirements.lock from constraints.txt (WHEELS=... holds a CPU build of torch)
	@sed 's/^\(torch==.*\)/\1+cpu/' constraints.txt > constraints.cpu
	@grep '^#' requirements.lock > requirements.new
	@$(VENV)/bin/uv pip compile --quiet pyproject.toml --all-extras --generate-hashes --constraint constraints.cpu \
	  --python-version 3.11.0 --python-platform x86_64-manylinux_2_28 $(addprefix --find-links ,$(WHEELS)) \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate >> requirements.new
	@mv requirements.new requirements.lock && rm constraints.cpu

release: $(LAB) ## Go through the checklist of a release; wheel, bill of materials and licences go into dist/
	@$(PY) -m tests.release --out dist
