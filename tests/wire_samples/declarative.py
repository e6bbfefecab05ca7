"""An API that is described by a table: the custom REST API of the guide."""

from llmcli.errors import AuthenticationFailed, Busy, ProviderFailed
from llmcli.testing import Answer, Failure, Samples, body, json_line
from llmcli.types import ProviderConfig, Usage
from tests.wire_samples import PIECES, TEXT

CONFIG = ProviderConfig(
    "acme",
    base_url="https://api.acme.example/v2",
    place="config.toml: providers.acme",
    own={
        "chat": {
            "path": "/generate",
            "request": """{
                conversation: messages[].{speaker: if(role == 'assistant', 'ai', role), text: content},
                model: model, max_length: max_tokens, creativity: temperature, top_p: top_p, seed: seed, stop: stop,
                more: options}""",
            "content": "result.ai_response",
            "model": "result.model_used",
            "usage": "{prompt_tokens: metrics.in, completion_tokens: metrics.out, total_tokens: metrics.all}",
            "error": "error.message",
        },
        "stream": {
            "framing": "jsonl",
            "request": "{stream: `true`}",
            "delta": "text",
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
    empty=_answer("", ""),
    models=(body({"models": [{"name": "acme-large"}, {"name": "acme-small"}]}),),
    model_ids=("acme-large", "acme-small"),
)
