#!/usr/bin/env bash
# Every check and measurement that needs a GPU. Results go to $OUT: fewer than 8 files, each below 16 MiB.
#
#   benchmarks/gpu.sh pack      where there is a network: puts into runs/gpu-carry what the machine with the GPU
#                               may lack: wheels for its Python ($PYTHON_VERSION), and $MIRROR_FILES, the recipe's
#                               downloads; together about 40 MB, to be carried there beside the repository
#   benchmarks/gpu.sh           on that machine: all parts below, one after the other, within $LIMIT seconds
#   benchmarks/gpu.sh PART...   these parts alone
#   benchmarks/gpu.sh recipe    recipes/de/germeval2018.py with the paper preset, as far as it comes in $LIMIT
#                               seconds; the same call again goes on from the last checkpoint, as long as the
#                               folder runs/gpu-work is there. A finished run is packed into $OUT/recipe.tar.xz.
#
# Parts: environment tests layers lm qrnn small classifier loader toy
# A part that fails or takes too long is named at the end, and the next one begins.
# ULMFIT_GPU_DRY_RUN=1 runs everything on the CPU at toy size, to find mistakes in this script.
set -uo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
PYTHON_VERSION=${PYTHON_VERSION:-3.12}
OUT=${OUT:-runs/gpu}
LIMIT=${LIMIT:-570}
CARRY=runs/gpu-carry
WORK=runs/gpu-work
DRY=${ULMFIT_GPU_DRY_RUN:-0}
ALL="environment tests layers qrnn lm classifier loader toy small"
RECIPE=recipes/de/germeval2018.py
SEEDS=${SEEDS:-0,1,2,3,4}
# What a machine with torch and the usual scientific packages lacks; without their own dependencies.
LACKING="annotated-types beartype datasketch fastai fastcore fastdownload fastprogress fasttransform indexed-bzip2
  itsdangerous plum-dispatch py3langid pydantic pydantic-core python-fasthtml python-multipart starlette
  typing-inspection wikiextractor"

pack() {
  mkdir -p "$CARRY/mirror"
  # shellcheck disable=SC2086
  "$PYTHON" -m pip download --quiet --no-deps --only-binary :all: --python-version "$PYTHON_VERSION" \
    --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform any \
    -c constraints.txt -d "$CARRY/wheels" $LACKING || return 1
  for file in ${MIRROR_FILES:-}; do cp "$file" "$CARRY/mirror/" || return 1; done
  du -sh "$CARRY"/*
}

# -- on the machine with the GPU

began=$SECONDS
left() { echo $((LIMIT - (SECONDS - began))); }

prepare() {
  mkdir -p "$OUT" "$WORK/logs"
  : > "$WORK/summary.txt"
  rm -f "$WORK"/logs/* "$WORK/results.jsonl"
  if [ "$DRY" != 1 ] && [ -d "$CARRY/wheels" ] && [ ! -d "$WORK/packages" ]; then
    "$PYTHON" -m pip install --quiet --no-index --no-deps --target "$WORK/new" "$CARRY"/wheels/*.whl &&
      mv "$WORK/new" "$WORK/packages" || return 1
  fi
  export PYTHONPATH="$PWD:$PWD/$WORK/packages" PYTHONUNBUFFERED=1
  [ "$DRY" = 1 ] || "$PYTHON" -c 'import torch; assert torch.cuda.is_available(), "torch finds no GPU"'
}

# part NAME SECONDS COMMAND...: run within the seconds, or those that are left; the log is kept.
part() {
  local name=$1 seconds=$2 from=$SECONDS status=0
  shift 2
  [ "$(left)" -lt "$seconds" ] && seconds=$(left)
  if [ "$seconds" -lt 15 ]; then
    echo "$name: left out, no time" >> "$WORK/summary.txt"
    return
  fi
  echo "== $name"
  timeout -k 20 "$seconds" "$@" > "$WORK/logs/$name.log" 2>&1 || status=$?
  tail -n "${SHOWN:-12}" "$WORK/logs/$name.log"
  case $status in
    0) status="done" ;;
    124 | 137) status="stopped after its $seconds s" ;;
    *) status="FAILED ($status)" ;;
  esac
  echo "$name: $status, $((SECONDS - from)) s" >> "$WORK/summary.txt"
  grep -h '^{' "$WORK/logs/$name.log" | sed "s/^{/{\"part\": \"$name\", /" >> "$WORK/results.jsonl"
}

finish() {
  echo "== summary"
  cat "$WORK/summary.txt"
  cp "$WORK/summary.txt" "$OUT/summary.txt"
  [ -f "$WORK/results.jsonl" ] && cp "$WORK/results.jsonl" "$OUT/results.jsonl"
  tar -cJf "$OUT/logs.tar.xz" -C "$WORK" logs
}

export PYTHON

environment() {
  part environment 60 bash -c '
    nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.sm --format=csv 2>/dev/null
    "$PYTHON" benchmarks/gpu_layers.py --environment'
}

tests() {
  SHOWN=30 part tests 200 "$PYTHON" -m pytest -q -rs -p no:cacheprovider --durations=8 tests/gpu
}

layers() {
  part layers 120 "$PYTHON" benchmarks/gpu_layers.py
}

# bench PART SECONDS STEPS MODEL
bench() {
  local steps=$3
  [ "$DRY" = 1 ] && steps=2
  SHOWN=40 part "$1" "$2" "$PYTHON" -m ulmfit bench lm --model "$4" --steps "$steps" --repetitions 1 --json
}

lm() { bench lm 330 60 "$([ "$DRY" = 1 ] && echo quick || echo full)"; }
qrnn() { bench qrnn 120 60 "$([ "$DRY" = 1 ] && echo quick || echo qrnn)"; }
small() { bench small 200 100 "$([ "$DRY" = 1 ] && echo quick || echo small)"; }

classifier() {
  local model=all steps=40
  [ "$DRY" = 1 ] && model=quick steps=2
  SHOWN=60 part classifier 240 "$PYTHON" -m ulmfit bench classifier --model "$model" --steps "$steps" \
    --repetitions 1 --json
}

loader() {
  part loader 100 "$PYTHON" -m ulmfit bench loader --repetitions 1 --json
}

toy() {
  part toy 150 "$PYTHON" -m ulmfit run recipes/toy/sentiment.py --runs "$WORK/toy"
  cp "$WORK/toy/toy/sentiment/record.json" "$OUT/toy.json" 2>/dev/null
}

recipe() {
  local preset=paper sets=() file=$RECIPE name=germeval2018-paper
  if [ "$DRY" = 1 ]; then
    file=recipes/toy/sentiment.py preset= sets=(--set "pretrain.phases=[{}]" --set "classifier.phases=[{}]")
    name=toy-recipe
  fi
  local command=("$PYTHON" -m ulmfit run "$file" --runs "$WORK/recipe" --mirror "$CARRY/mirror")
  [ -n "$preset" ] && command+=(--preset "$preset" --seeds "$SEEDS")
  # SIGTERM writes a checkpoint; the seconds that are kept back are for that and for the packing.
  SHOWN=25 part "$name" $(($(left) - 30)) "${command[@]}" "${sets[@]}"
  if grep -q "$name: done" "$WORK/summary.txt"; then
    # Record, report, and of every stage what is no model, no text and no token.
    (cd "$WORK/recipe" && find . -type f \( -name 'record.json' -o -name 'report.*' -o -name 'log.txt' \
      -o -name 'history.json' -o -name 'metrics.json' -o -name 'config.json' -o -name 'manifest.json' \) \
      | tar -cJf - -T -) > "$OUT/recipe.tar.xz"
  else
    echo "not finished: the same call again goes on, while $WORK is there" | tee -a "$WORK/summary.txt"
  fi
}

parts=${*:-$ALL}
if [ "$parts" = pack ]; then
  pack
  exit
fi
for name in $parts; do
  case " $ALL recipe " in
    *" $name "*) ;;
    *) echo "there is no part $name; expected pack, recipe or some of: $ALL" >&2; exit 2 ;;
  esac
done
prepare || exit 1
trap finish EXIT
for name in $parts; do "$name"; done
! grep -q -e FAILED -e stopped "$WORK/summary.txt"
