# Every target makes what it needs. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOOK   := tests/look
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.DEFAULT_GOAL := help
.PHONY: help demo test soak check fix lock mails letters-tools letters-gallery docs bench clean

help: ## what you can make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.run: requirements.lock pyproject.toml
	@echo "making $(VENV) (a minute, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@echo "adding the tools of development to $(VENV)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.run ## the whole way on a simulated Graph: tokens checked, letters written
	@$(BIN)/token-monitor demo

# What reads many letters, or all in every language, is not measured, which costs time,
# and takes what time the others leave.
LETTERS := tests/letters tests/look tests/notify/test_letters.py tests/notify/test_pseudo.py
ELSEWHERE := tests/faults tests/whole $(LETTERS)

test: $(VENV)/.dev ## every test; the parts, and beside them the whole, its faults and the letters
	@$(BIN)/coverage erase
	@$(BIN)/python -m pytest tests/faults tests/whole >.whole.log 2>&1 & whole=$$!; \
	  nice $(BIN)/python -m pytest $(LETTERS) >.letters.log 2>&1 & letters=$$!; \
	  $(BIN)/coverage run -m pytest $(addprefix --ignore=,$(ELSEWHERE)); parts=$$?; \
	  wait $$letters; letters=$$?; cat .letters.log; rm -f .letters.log; \
	  wait $$whole; whole=$$?; cat .whole.log; rm -f .whole.log; \
	  test $$parts = 0 -a $$letters = 0 -a $$whole = 0
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report --fail-under=90
	@$(BIN)/coverage report --include='monitor/core/*' --fail-under=100

soak: $(VENV)/.dev ## kills, full disks, storms at their whole length; an hour and a half
	@SOAK=1 $(BIN)/python -m pytest tests/faults tests/whole/test_replicas.py \
	  tests/probe/test_oracle.py tests/jobs/test_governor.py

check: $(VENV)/.dev ## lint, format, types, import contracts, Dockerfile
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@if test -x $(BIN)/hadolint; then $(BIN)/hadolint Dockerfile; else echo "hadolint: none for this platform"; fi

fix: $(VENV)/.dev ## let the machines mend style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

mails: $(VENV)/.dev ## write the golden letters anew; review the difference
	@$(BIN)/python -m tests.notify.rewrite

$(LOOK)/node_modules/.made: $(LOOK)/package-lock.json
	@cd $(LOOK) && npm ci --loglevel=error
	@touch $@

letters-tools: $(LOOK)/node_modules/.made ## what judges and photographs letters (needs Node, npm and the network)

letters-gallery: $(VENV)/.dev letters-tools ## pictures of letters, narrow and wide, light and dark; GALLERY=--all for every one
	@$(BIN)/python -m tests.look.gallery $(GALLERY)

docs: $(VENV)/.dev ## write what the docs repeat of the code: commands, answers, metrics, a letter
	@$(BIN)/python -m tests.rewrite_docs

$(VENV)/.bench: requirements-bench.lock $(VENV)/.dev
	@echo "adding the contenders of the benchmarks to $(VENV)"
	@$(PIP) install --require-hashes -r requirements-bench.lock
	@touch $@

bench: $(VENV)/.bench ## benchmarks: ratios in one run; BENCH="speed latency" selects
	@$(BIN)/python benchmarks/run.py $(BENCH)

lock: ## resolve the requirements anew (needs uv)
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -p 3.11 pyproject.toml --extra postgres --group build -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -p 3.11 pyproject.toml --extra postgres --group build --group dev -c requirements.lock -o requirements-dev.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -p 3.11 pyproject.toml --extra postgres --group build --group bench -c requirements-dev.lock -o requirements-bench.lock

clean: ## remove everything that was made
	rm -rf $(VENV) $(LOOK)/node_modules letters-gallery demo-out .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
