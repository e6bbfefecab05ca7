"""
`llmcli providers check`: the checks of the conformance kit that make sense for this provider, and with `--live` some
questions to the service itself. Layer 3.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from llmcli.answer import Call, Fold, answer
from llmcli.commands.models import list_models
from llmcli.commands.setup import Ready, brief_call, make_ready, read_config
from llmcli.errors import AuthenticationFailed, ConfigurationError, LlmError
from llmcli.framing import as_object
from llmcli.output import json_text, one_line
from llmcli.provider import HTTPProvider
from llmcli.retry import RetryPolicy
from llmcli.testing.checks import Result, results
from llmcli.testing.hearing import Canned, Sent
from llmcli.testing.samples import Answer, Samples
from llmcli.testing.subject import Subject
from llmcli.types import ChatRequest, Reply, ToolCall, message
from llmcli.world import World

_SECONDS = 60.0  # for one question to the service
_QUESTION = "Say OK."
_SAMPLE = "The table holds a sample answer that can be read"
_WRONG_KEY = "llmcli-wrong-key-0000000000"


def run(
    provider_id: str, world: World, *, live: bool, model: str | None, config: str | None, no_config: bool, as_json: bool
) -> None:
    """
    Print how each check went. Raises `ConfigurationError` when one failed, and with `live`, where only a question to
    the service failed, the error of the first of those.
    """
    settings = read_config(world, config, no_config=no_config)
    ready = make_ready(provider_id, settings, world, model=model, need_key=live, run_command=live)
    samples, first = _samples(ready)
    subject = Subject(type(ready.provider), samples, ready.setup.config, waived=_waived(ready))
    errors: list[LlmError] = []
    found = [*first, *results(subject), *(_live(ready, world, model, errors) if live else ())]
    world.print(json_text([each._asdict() for each in found]) + "\n" if as_json else _report(found))
    failed = [each for each in found if each.status == "failed"]
    if failed and len(failed) == len(errors):
        raise errors[0]
    if failed:
        raise ConfigurationError(f"{len(failed)} of {len(found)} checks failed", provider=provider_id)


def _waived(ready: Ready) -> dict[str, str]:
    """The checks that ask for what a table cannot hold, or need not."""
    if "chat" not in ready.setup.config.own:
        return {}
    waived = {
        "samples-are-telling": "the sample of a table is what somebody recorded",
        "errors-are-told-apart": "a table holds no sample errors; `providers read --status` reads one",
        "thinking-is-read": "the sample of a table may hold no thinking",
        "tool-calls-are-read": "the sample of a table may hold no calls",
        "models-are-listed": "a table holds no sample list of models; `--live` asks the service for it",
    }
    if ready.provider.default_model == "default" and ready.setup.config.default_model is None:
        waived["the-model-is-sent"] = "no expression uses `model`: the API has but one"
    return waived


def _report(found: Sequence[Result]) -> str:
    """
    A line for each result, the failed ones last, and how many there are of each kind. What was skipped for one reason
    stands in one line.
    """
    lines = []
    skipped = [each for each in found if each.status == "skipped"]
    for why in dict.fromkeys(each.message for each in skipped):
        first, *others = (each.id for each in skipped if each.message == why)
        lines.append(_line("skipped", f"{first} and {len(others)} more" if others else first, why))
    for status in ("ok", "failed"):
        lines += [_line(status, each.id, each.message) for each in found if each.status == status]
    counts = [f"{sum(each.status == status for each in found)} {status}" for status in ("ok", "failed", "skipped")]
    return "\n".join([*lines, ", ".join(counts)]) + "\n"


def _line(status: str, what: str, why: str) -> str:
    return f"{status:8}{what}" + (f": {one_line(why)}" if why else "")


# --- samples of a table ---------------------------------------------------------------------------


def _samples(ready: Ready) -> tuple[Samples | None, list[Result]]:
    """The samples that a table holds, and what is told where they are not enough to check how answers are read."""
    provider = ready.provider
    tables = {name: as_object(ready.setup.config.own.get(name)) for name in ("chat", "stream")}
    if not isinstance(provider, HTTPProvider) or not tables["chat"]:
        return None, []
    wanted = ["chat", "stream"] if provider.capabilities.stream else ["chat"]
    raw = {name: body for name in wanted if (body := _sample(tables[name], ready)) is not None}
    missing = [f"{ready.setup.config.place}.{name}.sample" for name in wanted if name not in raw]
    if missing:
        why = f"{' and '.join(missing)} would say how the API answers"
        return None, [Result("sample", _SAMPLE, "skipped", why)]
    provider.base_url = provider.base_url or "http://sample.invalid"  # nothing is sent there
    try:
        return _answers(provider, raw, tables["stream"]), []
    except LlmError as exc:
        return None, [Result("sample", _SAMPLE, "failed", exc.message)]


def _answers(provider: HTTPProvider, raw: Mapping[str, bytes], stream: Mapping[str, object]) -> Samples:
    """The samples with what they say, which is what is read in them now."""
    whole = _replied(provider, raw["chat"], stream=False)
    answers = [_answer(whole, whole=raw["chat"])]
    if "stream" in raw:
        pieces = _pieces(raw["stream"], stream)
        streamed = _replied(provider, raw["stream"], stream=True)
        answers.insert(0, _answer(streamed, stream=pieces, marker=0 if stream.get("end") == "eof" else 1))
    return Samples(answers[0], others=tuple(answers[1:]))


def _sample(table: Mapping[str, object], ready: Ready) -> bytes | None:
    """The sample of a table, which stands in it or in a file beside the file of the table."""
    if "sample" in table:
        return str(table["sample"]).encode()
    if "sample_file" not in table:
        return None
    path = os.path.join(os.path.dirname(ready.setup.path), os.path.expanduser(str(table["sample_file"])))
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as exc:
        raise ConfigurationError(f"{ready.setup.config.place}: cannot read the sample {path}: {exc.strerror}") from exc


def _replied(provider: HTTPProvider, body: bytes, *, stream: bool) -> Reply:
    """The sample as it is read now; the checks then have it read in other ways, which must come to the same."""
    request = ChatRequest("sample", (message("user", "sample"),))
    fold = Fold(provider.config.id, request.model, keep=True)
    call = Call(Canned(Sent((body,))), retry=RetryPolicy(retries=0), stream=stream)
    for _ in fold.watch(answer(provider, request, call)):
        pass
    return fold.reply()


def _answer(reply: Reply, **sent: Any) -> Answer:
    parts = tuple(part._replace(id="") if isinstance(part, ToolCall) else part for part in reply.message.parts)
    model = reply.model if reply.model != "sample" else None
    return Answer(parts, finish=reply.finish.reason, usage=reply.usage, model=model, **sent)


def _pieces(body: bytes, table: Mapping[str, object]) -> tuple[bytes, ...]:
    """The records of a streamed sample with what ends each on the wire."""
    framing = table.get("framing", "sse")
    delimiter = {"sse": b"\n\n", "jsonl": b"\n", "delimiter": str(table.get("delimiter")).encode()}.get(str(framing))
    if delimiter is None:
        return (body,)
    parts = [part + delimiter for part in body.strip(b"\n").split(delimiter) if part.strip()]
    return tuple(parts)


# --- the service itself ---------------------------------------------------------------------------


def _live(ready: Ready, world: World, model: str | None, errors: list[LlmError]) -> Iterator[Result]:
    """Ask the service some cheap questions. What goes wrong is a result, and its error is kept."""
    questions: list[tuple[str, str, Callable[[], str]]] = [
        ("live-models", "The models are listed", lambda: _models(ready, world)),
        ("live-whole", "The service answers whole", lambda: _chat(ready, world, model, stream=False)),
    ]
    if ready.provider.capabilities.stream:
        questions.append(("live-stream", "It answers in pieces", lambda: _chat(ready, world, model, stream=True)))
    if ready.secret is not None:
        questions.append(("live-wrong-key", "It refuses a wrong key", lambda: _wrong_key(ready, world, model)))
    for check_id, title, ask in questions:
        try:
            yield Result(check_id, title, "ok", ask())
        except LlmError as exc:
            errors.append(exc)
            yield Result(check_id, title, "failed", exc.message)


def _models(ready: Ready, world: World) -> str:
    return f"{len(list_models(ready, brief_call(ready, world, seconds=_SECONDS)))} models"


def _chat(ready: Ready, world: World, model: str | None, *, stream: bool, key: str | None = None) -> str:
    name = ready.model(model)
    call = brief_call(ready, world, seconds=_SECONDS)._replace(stream=stream)
    fold = Fold(ready.provider.config.id, name, keep=True)
    request = ChatRequest(name, (message("user", _QUESTION),))
    for _ in fold.watch(answer(ready.provider, request, call._replace(key=key or call.key))):
        pass
    reply = fold.reply()
    tokens = reply.usage.total_tokens if reply.usage else None
    return f"{json_text(reply.message.text[:60])}, finish {reply.finish.reason}, {tokens or 'no'} tokens told"


def _wrong_key(ready: Ready, world: World, model: str | None) -> str:
    try:
        _chat(ready, world, model, stream=False, key=_WRONG_KEY)
    except AuthenticationFailed as exc:
        return exc.message
    raise AuthenticationFailed("a wrong key was taken", provider=ready.provider.config.id)
