# Two commands: `make demo` shows the loop close on a real chain; `make test` runs the whole suite. Each installs what it needs.
VENV := .venv
PY := $(VENV)/bin/python
PICK := for p in python3.12 python3.11 python3 python; do $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,12))' 2>/dev/null && echo $$p && break; done
WORKERS ?= 2
export UV_PYTHON_DOWNLOADS = never
export UV_SYSTEM_CERTS = 1

.PHONY: install demo test quick lint types bench contracts forge-test rehearse clean

install: $(VENV)/.installed node_modules/.installed

$(VENV)/.installed: pyproject.toml uv.lock
	@p="$$($(PICK))"; test -n "$$p" || { echo "drawbridge needs Python 3.11 or 3.12; none was found"; exit 1; }; \
	  test -x $(PY) || "$$p" -m venv $(VENV)
	@if command -v uv >/dev/null 2>&1; then uv sync --quiet --frozen --inexact --python $(PY); \
	  else $(PY) -m pip install --quiet uv && $(PY) -m uv sync --quiet --frozen --inexact --python $(PY); fi
	@touch $@

node_modules/.installed: package.json package-lock.json
	@command -v npm >/dev/null || { echo "drawbridge needs Node 20 with npm; none was found"; exit 1; }
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

demo: install
	@$(VENV)/bin/drawbridge rehearse --out reports/demo

test: install
	@$(PY) -m pytest -n $(WORKERS) --dist loadgroup

quick: install
	@$(PY) -m pytest -n $(WORKERS) --dist loadgroup -m "not chain and not slow and not postgres and not data"

lint: install
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

contracts: install
	@node contracts/build.mjs

forge-test: install
	@cd contracts && FOUNDRY_PROFILE=$${FOUNDRY_PROFILE:-default} ../node_modules/.bin/forge test --use ./solc-wrapper.mjs

bench: install
	@$(VENV)/bin/drawbridge bench

rehearse: demo

clean:
	@rm -rf $(VENV) node_modules reports contracts/out-forge contracts/cache
