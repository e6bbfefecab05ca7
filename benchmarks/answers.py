"""
The answers of the mock server: chat completions of any length, as the bytes of a whole HTTP response.

There are answers of `tokens` and of `markdown`, a word in each event, and of `pieces` of 8 KiB. Each event is an HTTP
chunk of its own, as services send them.
"""

import json
from collections.abc import Iterator
from functools import cache

PIECE = 8192  # bytes of text in each of the `pieces`
_WORDS = ("The", " sky", " is", " blue", " because", " air", " scatters", " short", " waves", " –", " Ray", "leigh")
_BLOCKS = (".\n\n", "- one", " **word**\n", "- two", " `words`\n\n", "```py\n", "sky =", " 'blue'\n", "```\n\n")
_MARKDOWN = ("## The", " sky\n\n", *_WORDS, *_BLOCKS)
_TEXTS: dict[str, tuple[str, ...]] = {
    "tokens": _WORDS,
    "markdown": _MARKDOWN,
    "pieces": ("0123456789abcde\n" * (PIECE // 16),),
}
_BLOCK = {"tokens": len(_WORDS) * 50, "markdown": len(_MARKDOWN), "pieces": 128}  # events in one send
_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\n"
    b"X-Request-Id: req_benchmark\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def answer_size(kind: str, count: int) -> int:
    """How many bytes of text an answer has."""
    sizes = [len(text.encode()) for text in _TEXTS[kind]]
    rounds, rest = divmod(count, len(sizes))
    return rounds * sum(sizes) + sum(sizes[:rest])


def answer(kind: str, count: int) -> Iterator[bytes]:
    """The bytes of a whole HTTP response, in the pieces in which they are sent."""
    blocks, rest = divmod(count, _BLOCK[kind])
    first = _HEAD + _chunk({"role": "assistant", "content": ""})
    last = _events(kind, rest) + _chunk({}, "stop") + _usage(count) + _http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    if not blocks:
        yield first + last
        return
    yield first
    for _ in range(blocks):
        yield _events(kind, _BLOCK[kind])
    yield last


@cache
def _events(kind: str, count: int) -> bytes:
    texts = _TEXTS[kind]
    return b"".join(_chunk({"content": texts[number % len(texts)]}) for number in range(count))


def _chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _event({"choices": [choice], "usage": None})


def _usage(count: int) -> bytes:
    usage = {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": count + 10}
    return _event({"choices": [], "usage": usage})


def _event(fields: dict[str, object]) -> bytes:
    document = {
        "id": "chatcmpl-BenchmarkBenchmarkBenchmark",
        "object": "chat.completion.chunk",
        "created": 1750000000,
        "model": "benchmark-2025-06-15",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        **fields,
    }
    return _http_chunk(f"data: {json.dumps(document, ensure_ascii=False, separators=(',', ':'))}\n\n".encode())


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
