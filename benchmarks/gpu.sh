#!/usr/bin/env bash
# Every check and measurement that needs a GPU, in one go and well inside ten minutes; results go to $OUT.
# Uses the Python that is active; needs this package's dependencies and no network.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-runs/gpu}
mkdir -p "$OUT"
export PYTHONPATH="$PWD"

nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv | tee "$OUT/gpu.csv"
python -c 'import torch; assert torch.cuda.is_available(), "no GPU"; print(torch.__version__)' | tee "$OUT/torch.txt"

echo "== the whole method on the toy language"
time python -m ulmfit.cli run recipes/toy/sentiment.py --runs "$OUT/runs" 2>&1 | tee "$OUT/toy.log"
cp "$OUT/runs/toy/sentiment/record.json" "$OUT/toy.json"

echo "== training speed of the paper's model: tokens a second stand in the manifests"
for batch in 64 512; do
  python -m ulmfit.cli run recipes/toy/sentiment.py --runs "$OUT/runs" --until pretrain --set corpus.dump.articles=3000 \
    --set pretrain.architecture.embedding_size=400 --set pretrain.architecture.hidden_size=1152 \
    --set pretrain.architecture.layers=3 --set pretrain.batch_size=$batch --set pretrain.bptt=70 \
    --set 'pretrain.phases=[{"epochs":1}]' 2>&1 | tee "$OUT/speed-$batch.log"
done
grep -h tokens_per_second "$OUT"/runs/stages/pretrain/*/manifest.json | tee "$OUT/tokens-per-second.txt"

echo "== tests, on the GPU where a test trains"
python -m pytest -q tests/language_model tests/training/test_schedules.py tests/classifier 2>&1 | tee "$OUT/tests.log"
