#!/usr/bin/env bash
# Hold published bundles to what serves or shows them, the real thing, as the workflow does:
#
#   tests/integration/run.sh triton|kserve|mlflow|ort-web
#
# Each has an environment of its own, since what they depend on excludes each other. VENV names one
# that is there already; else it is made in out/integration, by PYTHON (python3). NETLOFT_ORT_WEB names
# the folder dist of npm's onnxruntime-web; else npm fetches it.
set -euo pipefail
cd "$(dirname "$0")/../.."
server=${1:-}
made=out/integration
requirements=tests/integration/requirements/$server.txt
if [ -z "$server" ] || [ "$server" = common ] || [ ! -f "$requirements" ]; then
  echo "usage: tests/integration/run.sh triton|kserve|mlflow|ort-web" >&2
  exit 2
fi

if [ -z "${VENV:-}" ]; then
  VENV=$made/$server
  "${PYTHON:-python3}" -m venv "$VENV"
  "$VENV/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
fi

what=(tests/integration -k "$server")
case $server in
  triton)
    # pip's server has the Python backend alone
    command -v tritonserver >/dev/null || what=(tests/integration -k "triton and not onnxruntime")
    ;;
  ort-web)
    what=(tests/toolkit/publishing/test_ort_web.py -m integration)
    if [ -z "${NETLOFT_ORT_WEB:-}" ]; then
      mkdir -p "$made/npm"
      archive=$(npm pack --silent --pack-destination "$made/npm" onnxruntime-web@1.30.0)
      tar -xzf "$made/npm/$archive" -C "$made/npm"
      export NETLOFT_ORT_WEB=$made/npm/package/dist
    fi
    ;;
esac

# netloft itself is not installed: its dependencies would bring torch, which no server needs
PYTHONPATH=toolkit:. "$VENV/bin/python" -m pytest -p tests.integration.strict -p no:xdist -q -r ap \
  -o addopts="" -W default --import-mode=importlib "${what[@]}"
