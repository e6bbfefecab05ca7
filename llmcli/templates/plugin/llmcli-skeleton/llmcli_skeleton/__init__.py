"""
Skeleton: `POST /generate`, answered whole or in JSON lines.

Say here where the facts come from: the API's documentation, its version, the date.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from llmcli import http_errors
from llmcli.errors import LlmError, ProviderFailed, RequestRejected
from llmcli.framing import Framing, JsonLines, Record, as_object, as_text, decode_body, parse_json, parse_object
from llmcli.provider import ApiKey, HTTPProvider, Reader, Setting, json_request
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    HttpRequest,
    Json,
    Message,
    Metadata,
    Model,
    ModelPage,
    TextDelta,
    Usage,
)

_SPEAKERS = {"system": "rules", "user": "human", "assistant": "ai"}
_SETTINGS = {"max_tokens": "max_length", "temperature": "creativity"}  # our name: theirs
_FINISH: Mapping[str, FinishReason] = {"complete": "stop", "limit": "length"}


class Skeleton(HTTPProvider):
    """Describes requests and reads answers. It does no I/O, and keeps nothing of an answer on itself."""

    id = "skeleton"
    name = "Skeleton"
    default_base_url = "https://api.skeleton.example/v2"
    default_model = "skeleton-large"
    api_key = ApiKey(
        env=("SKELETON_API_KEY",),
        header="X-API-Key",  # without this line and the next: `Authorization: Bearer KEY`
        scheme="",
        placeholder="",
        hint="https://skeleton.example/keys",
    )
    settings: ClassVar[Mapping[str, Setting]] = {
        "max_tokens": Setting(min=1),
        "temperature": Setting(min=0, max=1),
    }
    quirks = ("top_p, stop and seed are refused: the API has none of them.",)

    # --- what is sent ---

    def check(self, request: ChatRequest) -> None:
        """See `Provider.check`. What the API cannot do is refused, and never dropped."""
        super().check(request)
        for name in ("top_p", "stop", "seed"):
            if getattr(request, name) not in (None, ()):
                raise RequestRejected(f"{self.config.id} has no {name}")

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """See `HTTPProvider.chat_request`. What was not said is not sent."""
        settings: dict[str, Json] = {"model_name": request.model}
        for ours, theirs in _SETTINGS.items():
            if getattr(request, ours) is not None:
                settings[theirs] = getattr(request, ours)
        body: dict[str, Json] = {
            "conversation": [_turn(each) for each in request.messages],
            "settings": settings,
            "stream": stream,
        }
        return json_request(self.url("/generate"), {**body, **request.options}, stream=stream)

    # --- what comes back ---

    def framing(self) -> Framing:
        """See `HTTPProvider.framing`. Without this method: server-sent events."""
        return JsonLines()

    def reader(self, request: ChatRequest) -> Reader:
        """See `HTTPProvider.reader`."""
        return _Reader()

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        """See `HTTPProvider.read_error`. An error of another form than the API's own is a proxy's, and read as such."""
        problem = _problem(parse_object(decode_body(body)))
        if problem is None:
            return super().read_error(status, headers, body)
        return http_errors.classify(problem.status or status, problem, headers)

    # --- models ---

    def models_request(self, cursor: str | None = None) -> HttpRequest:
        """See `HTTPProvider.models_request`."""
        return HttpRequest("GET", self.url("/catalog"), {"Accept": "application/json"})

    def read_models(self, document: object) -> ModelPage:
        """See `HTTPProvider.read_models`."""
        entries = as_object(document).get("entries")
        if not isinstance(entries, list):
            raise ProviderFailed("the list of models has no entries")
        return ModelPage(tuple(_model(entry) for entry in map(as_object, entries) if entry.get("slug")))


# --- our messages -> their messages ---------------------------------------------------------------


def _turn(message: Message) -> Json:
    return {"speaker": _SPEAKERS.get(message.role, "human"), "text": message.text}


# --- their answer -> our events -------------------------------------------------------------------


def _model(entry: Mapping[str, Json]) -> Model:
    window = entry.get("window")
    return Model(str(entry["slug"]), context_length=window if isinstance(window, int) else None)


class _Reader(Reader):
    """Reads one answer: a record for each line of a stream, or the whole document."""

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`."""
        line = as_object(parse_json(record.data))
        _raise_problem(line)
        if text := as_text(line.get("text")):
            yield TextDelta(text)
        if line.get("done") is True:
            yield from self._finish(line)

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`. An answer without what was promised is an error, never an empty answer."""
        answer = as_object(document)
        _raise_problem(answer)
        text = as_object(answer.get("result")).get("ai_response")
        if not isinstance(text, str):
            raise ProviderFailed("the answer has no result.ai_response")
        if text:
            yield TextDelta(text)
        yield from self._finish(answer)

    def _finish(self, answer: Mapping[str, Json]) -> Iterator[Event]:
        """What the end says. `Finish` is yielded only here, where the API's own end marker was seen."""
        result, metrics = as_object(answer.get("result")), as_object(answer.get("metrics"))
        if model := as_text(result.get("model_used")):
            yield Metadata({"model": model})
        if metrics:
            yield Usage(*(_count(metrics.get(f"{kind}_tokens")) for kind in ("input", "output", "total")))
        stopped = as_text(result.get("stopped"))
        self.complete = True
        yield Finish(_FINISH.get(stopped, "other"), stopped or None)


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) else None


def _problem(document: object) -> http_errors.ErrorBody | None:
    """The API's own error in a document, if it is one: `{"problem": {"code": 404, "text": "..."}}`."""
    problem = as_object(as_object(document).get("problem"))
    if not problem:
        return None
    code = problem.get("code")
    text = as_text(problem.get("text")) or "no explanation"
    return http_errors.ErrorBody(text, (str(code),), status=code if isinstance(code, int) else None)


def _raise_problem(document: object) -> None:
    """The API reports some errors under status 200, also in a stream."""
    problem = _problem(document)
    if problem is not None:
        raise http_errors.classify_in_stream(problem)
