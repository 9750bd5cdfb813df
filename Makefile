# Everything below sets itself up: nothing needs installing by hand.
BIN := .venv/bin

.PHONY: setup demo test test-slow validate bench format clean

setup:
	@.ci/setup

demo: setup
	$(BIN)/bridge demo

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not slow"
	$(BIN)/bridge validate --quick

# Every printed number by every engine; goes on where it was stopped, and writes
# validation/report.html and report.md. The README shows its counts, also where numbers are not
# reached and the command says so by its exit code.
validate: setup
	$(BIN)/bridge validate --out validation; code=$$?; $(BIN)/python validation/summary.py; exit $$code

# The outcome, with date and versions, goes to validation/slow_tests.md.
test-slow: setup
	$(BIN)/python -m pytest -m slow --record-slow

# agq against targets and peers in R; the tables go to validation/benchmarks/agq.md.
bench: setup
	$(BIN)/python validation/benchmarks/agq.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find bridge tests -name __pycache__ -type d -prune -exec rm -rf {} +
