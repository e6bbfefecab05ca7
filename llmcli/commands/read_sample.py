"""
`llmcli providers read`: a sample answer as a provider reads it, and what each expression finds in it. Layer 3.

Nothing is sent: the sample goes through the driver as if the service had just answered it.
"""

import os
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, BinaryIO

from llmcli.answer import Call, Fold, answer
from llmcli.commands.setup import make_ready, read_config
from llmcli.errors import RequestRejected, UsageError
from llmcli.framing import Record, decode_body
from llmcli.output import json_text, one_line, reply_document
from llmcli.provider import HTTPProvider
from llmcli.retry import RetryPolicy
from llmcli.testing.hearing import Canned, Sent
from llmcli.types import ChatRequest, Json, Reply, message
from llmcli.world import World

_LONGEST = 16 * 2**20  # bytes of a sample
_SHOWN = 100  # characters of a record that a line shows


def run(
    provider_id: str, file: str | None, world: World, *, stream: bool, status: int, model: str | None,
    config: str | None, no_config: bool, as_json: bool,
) -> None:  # fmt: skip
    """
    Read a sample from a file (`None` or `-`: stdin) and show what is found in it, record by record, and the answer
    that it makes. Raises the error that a user would get for such an answer, after what was found was printed.
    """
    settings = read_config(world, config, no_config=no_config)
    ready = make_ready(provider_id, settings, world, model=model, need_key=False, run_command=False)
    provider = ready.provider
    if not isinstance(provider, HTTPProvider):
        raise RequestRejected(f"{provider_id} performs by itself: it reads no HTTP answers")
    if stream and not provider.capabilities.stream:
        raise RequestRejected(f"{provider_id} does not stream", hint="a whole answer is read without --stream")
    provider.base_url = provider.base_url or "http://sample.invalid"  # nothing is sent there
    body = _sample(file, world)
    found = [(record, provider.findings(record, stream=stream)) for record in _records(provider, body, stream=stream)]
    reply: Reply | None = None
    try:
        reply = _reply(provider, body, model, stream=stream, status=status)
    finally:
        world.print(_document(found, reply) if as_json else _lines(found, reply))


def _sample(file: str | None, world: World) -> bytes:
    if file not in (None, "-"):
        try:
            with open(str(file), "rb") as opened:
                return _limited(opened)
        except OSError as exc:
            raise UsageError(f"cannot read {file}: {exc.strerror}") from exc
    if world.stdin is None:
        raise UsageError("stdin is closed, and no file is named")
    if world.is_tty(world.stdin):
        world.note("paste an answer of the API, then press Ctrl-D")
    with os.fdopen(os.dup(world.stdin), "rb") as stdin:
        return _limited(stdin)


def _limited(file: BinaryIO) -> bytes:
    sample = file.read(_LONGEST + 1)
    if len(sample) > _LONGEST:
        raise UsageError(f"the sample is longer than {_LONGEST // 2**20} MB")
    return sample


def _records(provider: HTTPProvider, body: bytes, *, stream: bool) -> Iterator[Record]:
    """The records of a streamed sample; a whole one is a single record."""
    if not stream:
        return iter([Record(decode_body(body))])
    framing = provider.framing()
    return chain(framing.feed(body), framing.end())


def _reply(provider: HTTPProvider, body: bytes, model: str | None, *, stream: bool, status: int) -> Reply:
    request = ChatRequest(model or provider.default_model or "sample", (message("user", "sample"),))
    call = Call(Canned(Sent((body,), status)), retry=RetryPolicy(retries=0), stream=stream)
    fold = Fold(provider.config.id, request.model, keep=True)
    for _ in fold.watch(answer(provider, request, call)):
        pass
    return fold.reply()


Found = list[tuple[Record, Mapping[str, Json]]]


def _document(found: Found, reply: Reply | None) -> str:
    records = [{"record": record.data, "event": record.event, "found": dict(findings)} for record, findings in found]
    document: dict[str, Any] = {"records": records, "reply": reply_document(reply) if reply else None}
    return json_text(document) + "\n"


def _lines(found: Found, reply: Reply | None) -> str:
    """Each record with what is found in it, then the answer."""
    lines = []
    for number, (record, findings) in enumerate(found, 1):
        name = "" if record.event == "message" else f" ({record.event})"
        lines.append(f"record {number}{name}: {_shortened(one_line(record.data))}")
        width = max(map(len, findings), default=0)
        lines += [f"  {key.ljust(width)}  {_shortened(json_text(value))}" for key, value in findings.items()]
    if reply is not None:
        document = reply_document(reply)
        facts = {"answer": document["content"], **({"tool_calls": calls} if (calls := document["tool_calls"]) else {})}
        told: Any = document["metadata"]
        lines += [f"{key}: {_shortened(json_text(value))}" for key, value in {**facts, **told}.items()]
    return "".join(f"{line}\n" for line in lines)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
