"""
A real llama.cpp server for the tests, in a process of its own, so that it can be stopped and killed.

    python -m tests.llama_server model.gguf --key sk-test     prints its address and serves until stdin ends
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.program import PATIENCE


class LlamaServer:
    """
    A llama.cpp server with the model of a GGUF file. `key`: the API key that it wants. `context`: tokens for all
    slots together.
    """

    def __init__(self, model: Path, *, key: str = "", context: int = 4096, slots: int = 4) -> None:
        self.key = key
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.llama_server",
                model,
                f"--key={key}",
                f"--context={context}",
                f"--slots={slots}",
            ],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().decode().strip()
        if not self.address:
            self._process.wait()
            self._errors.seek(0)
            complaint = self._errors.read().decode(errors="replace")
            self.close()
            raise RuntimeError(f"the llama.cpp server did not start: {complaint}")

    @property
    def url(self) -> str:
        """The base URL, with /v1."""
        return f"{self.address}/v1"

    def __enter__(self) -> "LlamaServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the server, stopped or not."""
        self.send(signal.SIGKILL)
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            if file is not None:
                file.close()

    def send(self, number: signal.Signals) -> None:
        """Send the server a signal."""
        self._process.send_signal(number)

    def generating(self) -> int:
        """How many answers the server is working on."""
        return sum(slot["is_processing"] for slot in self._get("/slots"))

    def _get(self, path: str) -> Any:
        connection = HTTPConnection(urlsplit(self.address).netloc, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.key}"})
            return json.load(connection.getresponse())
        finally:
            connection.close()


def main() -> None:
    """Serve until stdin ends, so that the server does not outlive the tests, however they end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--key", default="")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--slots", type=int, default=4)
    given = parser.parse_args()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = given.model
    params.model_alias = {"tiny"}
    params.n_ctx = given.context
    params.n_parallel = given.slots
    params.n_gpu_layers = 0
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [given.key] if given.key else []
    params.ctx_shift = True  # an endless text goes on where the context ends
    params.endpoint_slots = True
    params.ui = False
    params.warmup = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
