#!/usr/bin/env bash
# Tests and measures fedlit on one GPU, on a machine without network that has Python and torch.
#
#   scripts/on_gpu.sh wheels [3.12]   first, with network, where fedlit is installed: packages for that Python, in wheels/
#   scripts/on_gpu.sh                 on the machine with the GPU, from a copy of the checkout with wheels/
#   DEVICE=cpu scripts/on_gpu.sh      the same without a GPU, in small sizes, to try the script
#
# It takes at most 7 minutes: 3.5 for the tests, 2.5 for the benchmark, then it stops itself and leaves what it has.
# SLOWER=3 allows three times as long, for a slow CPU.
# Results are in the folder $OUT (outputs/gpu): machine.txt, tests.txt, tests.xml, benchmark.txt, on_gpu.json, on_gpu.md.
# $PYTHON is the interpreter that has torch: .venv/bin/python where it exists, else python3. Packages that it lacks are
# installed from wheels/ into a temporary folder; torch and the environment stay as they are.
set -u
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] && PYTHON=${PYTHON:-.venv/bin/python}
PYTHON=${PYTHON:-python3}

if [ "${1:-}" = wheels ]; then
  exec "$PYTHON" -m scripts.gpu_packages gather wheels "${2:-3.12}"
fi
if [ -z "${FEDLIT_ON_GPU_LIMIT:-}" ]; then
  export FEDLIT_ON_GPU_LIMIT=$((420 * ${SLOWER:-1}))
  exec timeout --signal=INT --kill-after=10 "$FEDLIT_ON_GPU_LIMIT" bash scripts/on_gpu.sh "$@"
fi

export DEVICE=${DEVICE:-gpu} OUT=${OUT:-outputs/gpu}
site=$(mktemp -d) || exit
trap 'rm -rf "$site"' EXIT
mkdir -p "$OUT"
"$PYTHON" -m scripts.gpu_packages install wheels "$site" || exit
export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}"

{ date; uname -a; "$PYTHON" -V; "$PYTHON" -m torch.utils.collect_env; } >"$OUT/machine.txt" 2>&1
if [ "$DEVICE" = gpu ] && ! "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "torch sees no GPU; DEVICE=cpu scripts/on_gpu.sh tries the script without one" >&2
  exit 2
fi
case $DEVICE in
  cpu) benchmark_words=(--device cpu --tiny) ;;
  *) benchmark_words=(--device cuda) ;;
esac

# --foreground: a signal to this script's group reaches both
timeout --foreground --signal=INT --kill-after=10 $((FEDLIT_ON_GPU_LIMIT / 2)) \
  "$PYTHON" -m pytest tests/gpu -m gpu -v --durations=10 -o faulthandler_timeout=120 -p no:cacheprovider --junitxml="$OUT/tests.xml" \
  2>&1 | tee "$OUT/tests.txt"
tests=${PIPESTATUS[0]}
timeout --foreground --signal=INT --kill-after=10 $((FEDLIT_ON_GPU_LIMIT * 5 / 14)) \
  "$PYTHON" -m benchmarks.on_gpu "${benchmark_words[@]}" --seconds $((FEDLIT_ON_GPU_LIMIT / 3)) --out "$OUT" 2>&1 | tee "$OUT/benchmark.txt"
benchmark=${PIPESTATUS[0]}
echo "tests: exit code $tests; benchmark: exit code $benchmark (124: out of time); results in $OUT"
[ "$tests" = 0 ] && [ "$benchmark" = 0 ]
