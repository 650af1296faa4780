#!/usr/bin/env bash
# Faces from captions on one GPU, with StackGAN++ at 64 x 64 and then at 128 x 128: MINUTES of training each (default 4),
# after the images are drawn on the CPU and the captions' encoder is trained. Figures and grids lie beside the runs.
#
#     bash scripts/train_faces_gpu.sh runs/faces-gpu
set -euo pipefail
out=${1:-runs/faces-gpu} minutes=${MINUTES:-4} images=${IMAGES:-40000} device=${DEVICE:-cuda}
mkdir -p "$out"

[ -f "$out/faces/metadata.jsonl" ] || image-bridge data faces "$out/faces" --images "$images" --size 128
[ -f "$out/encoder/config.json" ] || textgan train skipthought --run "$out/encoder" --device "$device" \
  --data "$out/faces/metadata.jsonl" --column captions --split line --lowercase --embeddings none \
  --embedding-dim 100 --hidden-dim 300 --epochs 4

for sizes in "32 64" "64 128"; do
  read -r first size <<<"$sizes"
  run="$out/faces-$size"
  if [ -f "$run/config.json" ]; then
    start=(image-bridge resume "$run")
  else
    start=(image-bridge train stackgan_v2 --run "$run" --data "$out/faces" --text "$out/encoder" --device "$device"
      --first "$first" --size "$size" --batch 64 --width 32 --precision bf16)
  fi
  # an interrupt saves the run and ends it with 130; running this script again goes on with it
  timeout --signal=INT "$((minutes * 60))" "${start[@]}" || [ $? = 124 ]
  image-bridge evaluate "$run" --device "$device"
  image-bridge generate "$run" "a face with long red hair and glasses" "a dark face with short blond hair" \
    "a face with long blue hair" -n 8 --out "$run/faces.png"
  image-bridge report "$run"
done
