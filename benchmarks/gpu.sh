#!/usr/bin/env bash
# What needs a GPU, in one run of under nine minutes: the tests on the device, then the measurements.
# Usage: benchmarks/gpu.sh [FOLDER]; logs, figures and pictures go to FOLDER, seen from the repository's root, by
# default runs/gpu.
# A part that fails or takes too long is named at the end, and the others run all the same.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
out=${1:-runs/gpu}
python=${PYTHON:-python3}
mkdir -p "$out"
failed=()

has() { "$python" -c "import $1" 2>/dev/null; }

part() { # NAME SECONDS COMMAND...
    local name=$1 limit=$2 status=0
    shift 2
    echo "== $name"
    timeout --kill-after=10 "$limit" "$@" >"$out/$name.log" 2>&1 || status=$?
    tail -n 40 "$out/$name.log"
    [ "$status" -eq 0 ] || failed+=("$name (exit $status)")
}

# The options of pyproject.toml ask for pytest-xdist. Outcomes are listed as they come: time may run out. What
# test_machine_code.py compiles needs no GPU.
options="-v --strict-markers"
if has xdist; then options+=" -n 8 --dist loadscope"; fi
tests=("$python" -m pytest -o "addopts=$options" --ignore tests/test_machine_code.py)
without() { for file in "$@"; do tests+=(--ignore "tests/test_$file.py"); done; }
if ! { has PIL && has matplotlib && has rich; }; then without benchmarks counts datasets errors expressions harness networks paper_runs records train training; fi
if ! has hypothesis; then without fuzz; fi
if ! has flit_core; then without wheel; fi

part machine 20 "$python" -c 'import torch, triton; print(torch.__version__, triton.__version__, torch.cuda.get_device_properties(0))'
part cuda-only 70 "${tests[@]}" -k "no_host_sync or 2_to_the_31 or not_the_current_one or on_a_gpu or cuda_graph"
part tests 130 "${tests[@]}"
part all 250 "$python" -m benchmarks all --device cuda --save "$out"
part figure5 60 "$python" -m benchmarks paper figure5 --device cuda --save "$out/cuda-figure5.json"

if [ "${#failed[@]}" -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
