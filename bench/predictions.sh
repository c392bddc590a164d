#!/usr/bin/env bash
# Prints what the plan predicts against what is measured, on the stories model, the 6 GB MoE and the 6 GB dense model at
# 25, 35, 60 and 100 % of their bytes. Arguments go to hypura-bench, e.g. --repeat 1. Settings as for run.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
exec bench/run.sh --scenario predict "$@"
