# Everything runs in .venv, which is made on first use. Needs nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The base has no torch; everything else is for development.
BASE := $(VENV)/.installed
INSTALLED := $(VENV)/.installed-dev
# Programs that check packages.
CHECKS := build/package-checks
IMAGES ?=
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: web web-check demo test test-slow coverage conformance frameworks fuzz lint format docs hooks reference bench lock audit sbom package package-check clean

demo: $(BASE)
	$(BIN)/sightline demo $(if $(IMAGES),--images "$(IMAGES)") $(ARGS)

# Whole files side by side, each worker with a database of its own.
test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow $(ARGS)

# The suite with a coverage report; one process, because subprocesses are not measured.
coverage: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile \
		--cov=sightline --cov-report=term:skip-covered --cov-report=html:build/coverage $(ARGS)

# The whole of the fuzzing; `make test` runs a small part of it.
fuzz: $(INSTALLED)
	$(BIN)/python -m pytest tests/fuzz tests/tools/test_fuzz.py -m "slow or not slow" $(ARGS)

# The official suites, with the Node.js that they need out of npm's own packages.
conformance: $(INSTALLED) tests/conformance/node_modules/.installed
	$(BIN)/python -m pytest -m conformance tests/conformance $(ARGS)

tests/conformance/node_modules/.installed: tests/conformance/package-lock.json
	@command -v npm >/dev/null || { echo "the conformance suites need npm, and there is none"; exit 1; }
	cd tests/conformance && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Wheel, MCP bundle, registry entry, install links and skill, in build/packages.
package: $(INSTALLED)
	$(BIN)/python packaging/build_packages.py $(ARGS)

# What `packaging` contains against the published schemas and the rules of linters.
package-check: $(INSTALLED) $(CHECKS)/.installed
	$(BIN)/python -m pytest -m validators tests/packaging $(ARGS)

$(CHECKS)/.installed: packaging/checks/requirements.lock packaging/checks/package-lock.json | $(VENV)/bin/python
	@command -v npm >/dev/null || { echo "the checks of the packages need npm, and there is none"; exit 1; }
	$(BIN)/python -m venv --clear $(CHECKS)
	$(CHECKS)/bin/python -m pip install --quiet --require-hashes --no-deps -r packaging/checks/requirements.lock
	cp packaging/checks/package.json packaging/checks/package-lock.json $(CHECKS)
	cd $(CHECKS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Which agent framework gets what from the server: installs their newest releases (2 GB) and runs
# their documented programs. Needs npm for two of them.
frameworks: $(INSTALLED)
	$(BIN)/python -m benchmarks.frameworks $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The documentation site, in build/site.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site

# The web app: its bundle is committed, so that nobody else needs npm.
WEB := server/web/app

$(WEB)/node_modules/.installed: $(WEB)/package-lock.json
	@command -v npm >/dev/null || { echo "the web app is built with npm, and there is none"; exit 1; }
	cd $(WEB) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

web: $(WEB)/node_modules/.installed
	cd $(WEB) && npm run --silent build

# Fails if the committed bundle is not what the source gives.
web-check: web
	git diff --exit-code --stat -- server/web/bundle

hooks: $(INSTALLED)
	$(BIN)/pre-commit install

# The reference pages that are generated from the code.
reference: $(INSTALLED)
	$(BIN)/python -m sightline.server.config.settings_reference > docs/reference/settings.md
	$(BIN)/python docs/build_reference.py

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(ARGS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Sightline needs Python 3.11 or newer; PYTHON=$(PYTHON) is older. Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(BASE): requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(INSTALLED): requirements-dev.lock $(BASE)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header

# Rewrites the pinned versions and hashes from pyproject.toml: those of the base, and all.
lock: $(INSTALLED)
	$(COMPILE) --group dev --extra train pyproject.toml --output-file requirements-dev.lock
	$(COMPILE) --constraint requirements-dev.lock pyproject.toml --output-file requirements.lock
	$(COMPILE) packaging/checks/requirements.in --output-file packaging/checks/requirements.lock

# Known vulnerabilities of the pinned versions; asks the advisory database of PyPI.
audit: $(INSTALLED)
	$(BIN)/pip-audit --requirement requirements-dev.lock --require-hashes --disable-pip --strict $(ARGS)

# What Sightline is made of, with the hashes of every file: CycloneDX, in build/sbom.json.
sbom: $(INSTALLED)
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --output-file build/sbom.json

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache
