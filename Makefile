# backlit: every target sets itself up, and is quick the second time.
# Another Python: make test PYTHON=python3.13

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
READY_TO_LINT := .venv/.ready-to-lint
READY_FOR_GPU := .venv/.ready-for-gpu

.DEFAULT_GOAL := help
.PHONY: help demo gallery test test-all test-gpu lint bench growth measures proto clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## upload a real classifier to a real server, explain two photographs, write the pictures to demo/
	$(BIN)/python models/demo.py

gallery: $(READY) ## ask every method about two classes in one picture, write the sheet to docs/gallery.png
	$(BIN)/python models/gallery.py

test: $(READY) ## the tests, in a few minutes
	$(BIN)/python -m pytest -n 2 -m "not slow and not docker and not gpu"

test-all: $(READY_TO_LINT) ## every test: slow ones, those of the image (as root, with buildah), those of a GPU
	$(BIN)/python -m pytest -m ""

test-gpu: $(if $(filter cpu,$(DEVICE)),$(READY),$(READY_FOR_GPU)) ## every method on a GPU beside the CPU; on the CPU, to see that the tests run: DEVICE=cpu
	BACKLIT_TEST_DEVICE=$(or $(DEVICE),cuda) $(BIN)/python -m pytest -m gpu tests/test_gpu*.py

lint: $(READY_TO_LINT) ## what no test sees: style, types, layers, the contract, the Dockerfile
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/hadolint Dockerfile

bench: $(if $(filter cuda%,$(DEVICE)),$(READY_FOR_GPU),$(READY)) ## the figures, each paired with its yardstick, and their goals; on a GPU: make bench DEVICE=cuda
	BACKLIT_DEVICE=$(patsubst cuda%,require-cuda%,$(or $(DEVICE),cpu)) $(BIN)/python tests/bench

growth: $(READY) ## how cost grows with image size, batch, classes, layers, depth and callers: docs/growth.md
	$(BIN)/python tests/bench/bench_growth.py

measures: $(READY) ## every method measured on the photographs of a folder, as docs/measures.md: make measures PICTURES=folder
	$(BIN)/python models/compare_methods.py $(PICTURES)

proto: $(READY_TO_LINT) ## generate the messages anew from proto/backlit.proto
	$(BIN)/python -m grpc_tools.protoc -Ibacklit_proto=proto --python_out=proto --pyi_out=proto --grpc_python_out=proto proto/backlit.proto

clean: ## remove everything that the other targets made
	rm -rf .venv demo build dist .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "backlit needs Python 3.11 or newer as $(PYTHON); choose another: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --editable '.[server,pictures,projection,regions,demo,test]'
	@touch $@

# All extras at once: the generator of the messages holds protobuf back, and what needs protobuf has to follow.
$(READY_TO_LINT): $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[server,pictures,projection,regions,demo,test,lint]'
	@touch $@

# NVIDIA's libraries as wheels, 1.3 GB; the driver is the machine's own.
$(READY_FOR_GPU): $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[server,gpu,pictures,projection,regions,demo,test]'
	@touch $@
