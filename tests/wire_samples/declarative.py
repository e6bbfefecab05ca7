"""An API that is described by a table: the custom REST API of the guide."""

from llmcli.errors import AuthenticationFailed, Busy, ProviderFailed
from llmcli.testing import Answer, Failure, Samples, body, json_line
from llmcli.types import FinishReason, Json, ProviderConfig, Text, Thinking, ToolCall, Usage
from tests.wire_samples import PIECES, TEXT

CONFIG = ProviderConfig(
    "acme",
    base_url="https://api.acme.example/v2",
    place="config.toml: providers.acme",
    own={
        "chat": {
            "path": "/generate",
            "request": """{
                conversation: messages[].{speaker: if(role == 'assistant', 'ai', role), text: content,
                    calls: tool_calls[].{ref: id, name: function.name, args: from_json(function.arguments)},
                    answers: tool_call_id},
                functions: tools[].function, call: tool_choice, form: schema, effort: thinking,
                model: model, max_length: max_tokens, creativity: temperature, top_p: top_p, seed: seed, stop: stop,
                more: options}""",
            "content": "result.ai_response",
            "thinking": "result.thoughts",
            "tool_calls": "result.calls[].{id: ref, name: name, arguments: args}",
            "model": "result.model_used",
            "usage": "{prompt_tokens: metrics.in, completion_tokens: metrics.out, total_tokens: metrics.all}",
            "error": "error.message",
        },
        "stream": {
            "framing": "jsonl",
            "request": "{stream: `true`}",
            "delta": "text",
            "thinking": "thoughts",
            "tool_calls": "calls[].{id: ref, name: name, arguments: args}",
            "model": "model",
            "end": "done",
        },
        "models_list": {"path": "/models", "models": "models[].name"},
    },
)
_METRICS = {"in": 9, "out": 12, "all": 21}
_LAST = json_line({"done": True, "model": "acme-large", "metrics": _METRICS})


def _answer(text: str, *pieces: str) -> Answer:
    whole = body({"result": {"ai_response": text, "model_used": "acme-large"}, "metrics": _METRICS})
    records = (*(json_line({"text": piece, "done": False}) for piece in pieces), _LAST)
    return Answer(text, records, 1, whole, usage=Usage(9, 12, 21), model="acme-large")


def _pieces(says: tuple[Text | Thinking | ToolCall, ...], *pieces: dict[str, Json]) -> Answer:
    """An answer of more than text, whose pieces together are the whole."""
    result: dict[str, Json] = {"model_used": "acme-large"}
    for piece in pieces:
        result |= {"ai_response" if name == "text" else name: value for name, value in piece.items()}
    records = (*(json_line({**piece, "done": False}) for piece in pieces), _LAST)
    whole = body({"result": result, "metrics": _METRICS})
    finish: FinishReason = "tool_calls" if any(isinstance(part, ToolCall) for part in says) else "stop"
    return Answer(says, records, 1, whole, finish=finish, usage=Usage(9, 12, 21), model="acme-large")


_CALLS: list[Json] = [{"ref": "c1", "name": "weather", "args": {"city": "Zürich"}}, {"name": "time", "args": "{}"}]


def _error(message: str) -> dict[str, object]:
    return {"error": {"message": message}}


SAMPLES = Samples(
    _answer(TEXT, *PIECES),
    errors=(
        Failure(body(_error("the key is wrong")), AuthenticationFailed, 401),
        Failure(body(_error("slow down please")), Busy, 429, {"Retry-After": "7"}, retry_after=7.0),
        Failure(body(_error("something broke")), ProviderFailed, 500),
    ),
    error_whole=Failure(body(_error("something broke")), ProviderFailed),
    error_in_stream=Failure(json_line(_error("something broke")), ProviderFailed),
    thinking=_pieces((Thinking("Höflich."), Text("Grüße.")), {"thoughts": "Höflich."}, {"text": "Grüße."}),
    tool_calls=_pieces((ToolCall("c1", "weather", '{"city":"Zürich"}'), ToolCall("", "time")), {"calls": _CALLS}),
    empty=_answer("", ""),
    models=(body({"models": [{"name": "acme-large"}, {"name": "acme-small"}]}),),
    model_ids=("acme-large", "acme-small"),
)


# --- the same in other framings -------------------------------------------------------------------


def _streaming(**stream: str) -> ProviderConfig:
    table: dict[str, Json] = CONFIG.own["chat"]  # type: ignore[assignment]
    chat = {name: found for name, found in table.items() if name not in ("thinking", "tool_calls")}
    chat["request"] = """{conversation: messages, model: model, max_length: max_tokens, creativity: temperature,
        top_p: top_p, seed: seed, stop: stop, more: options}"""
    own: dict[str, Json] = {**CONFIG.own, "chat": chat, "stream": {"request": "{stream: `true`}", **stream}}
    return CONFIG._replace(own=own)


def _says(*records: bytes, marker: int) -> Samples:
    """The text in these records, of which nothing else is told."""
    answer = SAMPLES.answer._replace(stream=records, marker=marker, whole=None, usage=None, model=None)
    whole = SAMPLES.answer._replace(stream=())
    return SAMPLES._replace(
        answer=answer, thinking=None, tool_calls=None, empty=None, error_in_stream=None, others=(whole,)
    )


def _array(*documents: object) -> tuple[bytes, ...]:
    first, *others = map(body, documents)
    return (b"[" + first, *(b",\n" + each for each in others), b"]")


FRAMINGS = {
    "a JSON array": (
        _streaming(framing="json-array", delta="text", end="done"),
        _says(*_array(*({"text": piece} for piece in PIECES), {"done": True}), marker=2),
    ),
    "events of text with a sentinel": (
        _streaming(framing="sse", record="text", end="[DONE]"),
        _says(*(b"data: " + piece.encode().replace(b"\n", b"\ndata: ") + b"\n\n" for piece in PIECES),
              b"data: [DONE]\n\n", marker=1),
    ),
    "text up to the end of the body": (
        _streaming(framing="delimiter", delimiter="|||", record="text", end="eof"),
        _says(*(piece.encode() + b"|||" for piece in PIECES), marker=0),
    ),
    "JSON between delimiters": (
        _streaming(framing="delimiter", delimiter="---", delta="text", end="done"),
        _says(*(body({"text": piece}) + b"---" for piece in PIECES), body({"done": True}) + b"---", marker=1),
    ),
}  # fmt: skip
