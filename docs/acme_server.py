"""
An API that no tool speaks, for the tutorial `your-own-provider.md`: `python3 acme_server.py [PORT]`.

    GET  /v2/ping       {"up": true}
    GET  /v2/catalog    {"entries": [{"slug": "acme-large", "window": 32000}, ...]}
    POST /v2/generate   {"conversation": [{"speaker": "human", "text": "hi"}], "settings": {"model_name": "acme-large"}}
      ->                {"result": {"ai_response": "...", "model_used": "...", "stopped": "complete"}, "metrics": {...}}
      -> "stream": true {"text": "..."} on each line, and at last {"done": true} with all the rest
    whatever is wrong   {"problem": {"code": 401, "text": "..."}}

`speaker` is `human`, `ai` or `rules`; `settings` may hold `max_length` (words) and `creativity` (0 to 1). The key
stands in `X-API-Key`. It needs nothing but Python's standard library, and answers the same every time.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "acme-demo-key"
MODELS = {"acme-large": 32000, "acme-small": 8000, "acme-busy": 8000}
CATALOG = {"entries": [{"slug": name, "window": window} for name, window in MODELS.items()]}


class Problem(Exception):
    """Why there is no answer: Acme's own code, and the HTTP status that it comes with, which may be another."""

    def __init__(self, code: int, text: str, *, status: int = 0) -> None:
        super().__init__(text)
        self.status = status or code
        self.document = {"problem": {"code": code, "text": text}}


def checked(asked: dict[str, Any]) -> dict[str, Any]:
    """The settings of a question. Raises `Problem` for what Acme does not do."""
    settings: dict[str, Any] = asked.get("settings") or {}
    name = settings.get("model_name", "acme-large")
    if name == "acme-busy":
        raise Problem(429, "too many questions, come back in two minutes")
    if name not in MODELS:
        raise Problem(404, f"the model {name} does not exist", status=200)  # which is Acme's way
    if not 0 <= settings.get("creativity", 0) <= 1:
        raise Problem(422, "creativity is a number from 0 to 1")
    return {"model_name": name, **settings}


def answer(asked: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The words of the answer, and all that is said about it."""
    settings = checked(asked)
    turns: list[dict[str, str]] = asked.get("conversation") or []
    rules = [turn["text"] for turn in turns if turn["speaker"] == "rules"]
    said = [turn["text"] for turn in turns if turn["speaker"] == "human"]
    if not said:
        raise Problem(422, "the conversation has no human in it")
    words = f"Acme heard: {said[-1]}{f' (and keeps to: {rules[0]})' if rules else ''}".split(" ")
    length = settings.get("max_length", len(words))
    heard = sum(len(turn["text"].split()) for turn in turns)
    spoken = [word if at == 0 else f" {word}" for at, word in enumerate(words[:length])]
    return spoken, {
        "result": {
            "model_used": f"{settings['model_name']}-7",
            "stopped": "limit" if length < len(words) else "complete",
        },
        "metrics": {"input_tokens": heard, "output_tokens": len(spoken), "total_tokens": heard + len(spoken)},
    }


class Acme(BaseHTTPRequestHandler):
    """Answers one client."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """`ping`, which anybody may ask, and `catalog`."""
        self._reply(lambda: {"up": True} if self.path == "/v2/ping" else self._catalog())

    def do_POST(self) -> None:
        """`generate`."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self._reply(lambda: self._generate(body))

    def _catalog(self) -> dict[str, Any]:
        self._check_call("/v2/catalog")
        return CATALOG

    def _generate(self, body: bytes) -> dict[str, Any] | None:
        self._check_call("/v2/generate")
        asked = json.loads(body)
        words, facts = answer(asked)
        if asked.get("stream"):
            self._stream([*({"text": word} for word in words), {"done": True, **facts}])
            return None
        return {**facts, "result": {"ai_response": "".join(words), **facts["result"]}}

    def _check_call(self, path: str) -> None:
        if self.headers["X-API-Key"] != KEY:
            raise Problem(401, "this key opens nothing here")
        if self.path != path:
            raise Problem(404, f"nothing stands at {self.path}")

    def _reply(self, act: Callable[[], dict[str, Any] | None]) -> None:
        """What was asked for, unless it is sent already; or the problem with it."""
        try:
            status, document = 200, act()
        except Problem as exc:
            status, document = exc.status, exc.document
        if document is None:
            return
        data = json.dumps(document, ensure_ascii=False).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "120")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, documents: list[dict[str, Any]]) -> None:
        """One document a line, each sent as a chunk of its own."""
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for data in self._chunks(documents):
            self.wfile.write(data)
            self.wfile.flush()

    def _chunks(self, documents: list[dict[str, Any]]) -> Iterator[bytes]:
        for document in documents:
            line = json.dumps(document, ensure_ascii=False).encode() + b"\n"
            yield b"%x\r\n%s\r\n" % (len(line), line)
        yield b"0\r\n\r\n"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the terminal is for the tutorial."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8765), Acme)
    print(f"Acme listens at http://127.0.0.1:{server.server_port}/v2", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
