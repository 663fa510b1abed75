# Needs Python 3.11 or newer, and nothing else; uses uv when it is there. Everything stays in this directory.

PYTHON = .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run demo-fleet setup test screenshots bench bench-pages fill check lock locked audit clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile

run: setup ## serve Gatehouse with demo data on http://127.0.0.1:8000/ (PORT=, HOST=), until Ctrl-C
	@exec $(PYTHON) manage.py serve --demo

demo-fleet: setup ## serve the demo with a simulated fleet at work in it, until Ctrl-C
	@trap : INT; $(PYTHON) manage.py serve --demo & server=$$!; $(PYTHON) manage.py simulate_fleet; \
	kill $$server 2>/dev/null; wait $$server

test: setup ## run the tests; ARGS="-k name" goes to pytest, ARGS="-n 2 --dist loadfile" runs two at once
	@exec $(PYTHON) -m pytest $(ARGS)

screenshots: setup ## take pictures of every page in four forms, into OUT= (screenshots/)
	@SCREENSHOTS=$(or $(OUT),screenshots) exec $(PYTHON) -m pytest -p no:randomly tests/e2e/test_screenshots.py

bench: setup ## measure claims, the API and the pages, a quarter of an hour
	@$(PYTHON) -m benchmarks.claims && $(PYTHON) -m benchmarks.api && exec $(PYTHON) -m benchmarks.pages

bench-pages: setup ## measure every page of the console, in the filled database of DIR= or in a small one
	@BENCHMARK_HOME="$(DIR)" exec $(PYTHON) -m benchmarks.pages

fill: setup ## fill DIR= with a million artifacts (SCALE=0.01: a hundredth)
	@BENCHMARK_HOME="$(DIR)" exec $(PYTHON) -m benchmarks.fill --scale $(or $(SCALE),1)

check: setup locked ## look for mistakes without running anything
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy .
	@$(PYTHON) -c 'from importlinter.cli import lint_imports_command as check; check()' --no-cache
	@$(PYTHON) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

# The stamp holds the hash of the locked requirements and the path: a changed lock, an install that was interrupted
# and an environment that was copied from elsewhere are all made anew. With a good one nothing is asked of the network.
setup: ## install what is locked in requirements.txt into .venv
	@set -e; \
	stamp="$$(cksum < requirements.txt) $$(pwd -P)"; \
	if [ "$$(cat .venv/stamp 2>/dev/null)" = "$$stamp" ] && $(PYTHON) -c "import django" 2>/dev/null; then exit 0; fi; \
	for python in python3 python3.14 python3.13 python3.12 python3.11 ""; do \
		if [ -n "$$python" ] && "$$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then break; fi; \
	done; \
	uv=""; if uv --version >/dev/null 2>&1; then uv=yes; fi; \
	if [ -z "$$python" ] && [ -z "$$uv" ]; then \
		echo "Gatehouse needs Python 3.11 or newer, and found none: install it, or install uv." >&2; exit 1; \
	fi; \
	if [ -z "$$uv" ] && ! "$$python" -c "import venv, ensurepip" 2>/dev/null; then \
		echo "$$python cannot make a virtual environment: install python3-venv (apt install python3-venv), or uv." >&2; exit 1; \
	fi; \
	echo "Installing what requirements.txt locks into .venv (this once)"; \
	rm -rf .venv; \
	if [ -n "$$uv" ]; then \
		uv venv --quiet --no-project --python "$${python:-3.13}" .venv; \
		uv pip sync --quiet --python $(PYTHON) --require-hashes requirements.txt; \
	else \
		"$$python" -m venv .venv; \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt; \
	fi; \
	echo "$$stamp" > .venv/stamp

# uv.lock is what was chosen; requirements.txt says the same for pip, and is never written by hand.
EXPORT = $(PYTHON) -m uv export --quiet --frozen --offline --no-emit-project --no-header --no-annotate --group dev
EXPORT_SERVED = $(subst --group dev,--no-dev --group container,$(EXPORT))
lock: setup ## choose the versions in uv.lock anew, and write requirements.txt from it
	@$(PYTHON) -m uv lock --quiet --upgrade
	@$(EXPORT) > requirements.txt
	@$(EXPORT_SERVED) > deploy/requirements.txt

locked: setup ## see whether pyproject.toml, uv.lock and requirements.txt still agree
	@$(PYTHON) -m uv lock --quiet --check --offline || { echo "uv.lock does not follow from pyproject.toml: run make lock." >&2; exit 1; }
	@test "$$($(EXPORT))" = "$$(cat requirements.txt)" || { echo "requirements.txt is not what uv.lock says: run make lock." >&2; exit 1; }
	@test "$$($(EXPORT_SERVED))" = "$$(cat deploy/requirements.txt)" || { echo "deploy/requirements.txt is not what uv.lock says: run make lock." >&2; exit 1; }

audit: setup ## ask PyPI for known vulnerabilities of what is locked
	@exec $(PYTHON) .ci/audit.py

clean: ## remove what can be made again; the data in .gatehouse stay
	@rm -rf .venv static.root .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
