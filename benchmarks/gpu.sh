#!/usr/bin/env bash
# What only a GPU can tell, in parts of four minutes at most, each with the most telling first.
# Usage: benchmarks/gpu.sh [--dry-run] PART... FOLDER
#   tests   the tests of the kernels, those that need a GPU first
#   kernels what each kernel of a call takes
#   speed   time, memory and host time of every loss: ours and eager, then compiled, Liger's and released rivals
#   tiles   the tuning table's tiles beside others
#   camvid  CamVid at full size, from the folder $CAMVID: cross-entropy, BLV and PAT, as many runs as fit
# Logs and results go to FOLDER, seen from the repository's root, as they come; camvid's, a file a run, also as a tar.
# A part that fails or takes too long is named at the end, and the others run all the same. PYTHON, LIMIT (seconds of a
# part) and COMMIT (what is measured, where git does not know) may be set.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
known="tests kernels speed tiles camvid"
python=${PYTHON:-python3}
limit=${LIMIT:-240}
options=(--seconds $((limit * 9 / 10))) # by the clock inside a part; the rest is for its start and its end

usage() {
    echo "usage: benchmarks/gpu.sh [--dry-run] PART... FOLDER, with parts out of: $known; $1" >&2
    exit 2
}

if [ "${1:-}" = --dry-run ]; then
    options+=(--dry-run)
    shift
fi
[ $# -ge 2 ] || usage "got '$*'"
out=${*: -1}
parts=("${@:1:$#-1}")
for part in "${parts[@]}"; do
    [[ " $known " == *" $part "* ]] || usage "got '$part'"
done

mkdir -p "$out"
failed=()
for part in "${parts[@]}"; do
    echo "== $part"
    status=0
    module=benchmarks.speed.gpu.$part
    [ "$part" != camvid ] || module=benchmarks.paper.camvid # it trains
    timeout --signal=INT --kill-after=10 "$limit" \
        "$python" -m "$module" --save "$out" "${options[@]}" >"$out/$part.log" 2>&1 || status=$?
    tail -n 60 "$out/$part.log"
    [ ! -d "$out/$part" ] || tar -czf "$out/$part.tar.gz" -C "$out" "$part"
    [ "$status" -eq 0 ] || failed+=("$part (exit $status)")
done

if [ "${#failed[@]}" -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
