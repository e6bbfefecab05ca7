"""llmcli's conformance kit, played with what a server and the hub write."""

from typing import ClassVar

from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ContextTooLong,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
)
from llmcli.testing import Answer, Failure, Samples, body
from llmcli.testing.conformance import HTTPConformance
from llmcli.types import Json, ProviderConfig, Usage

from llmcli_huggingface import HuggingFace


def data(document: Json) -> bytes:
    """An event as TGI writes it: without a space after `data:`."""
    return b"data:" + body(document) + b"\n\n"


def token(text: str, *, special: bool = False, **last: Json) -> bytes:
    made: Json = {"id": 5, "text": text, "logprob": -0.3, "special": special}
    return data({"index": 1, "token": made, "generated_text": None, "details": None, **last})


def end(text: str, reason: str = "eos_token") -> bytes:
    details: Json = {"finish_reason": reason, "generated_tokens": 9, "input_length": 4}
    return token("</s>", special=True, generated_text=text, details=details)


SAID = "Grüße 🦙\nBis bald."
ANSWER = Answer(
    SAID,
    stream=(token("Grüße"), token(" 🦙"), token("\nBis"), token(" bald."), end(SAID)),
    usage=Usage(4, 9, 13),
)
WHOLE = Answer(
    SAID,
    whole=body({"generated_text": SAID, "details": {"finish_reason": "eos_token", "generated_tokens": 9}}),
    usage=Usage(None, 9),
)
LISTED = Answer(SAID, whole=body([{"generated_text": SAID}]))
CUT = Answer("Cut", stream=(token("Cut"), end("Cut", "length")), finish="length", usage=Usage(4, 9, 13))
EMPTY = Answer("", stream=(end(""),), usage=Usage(4, 9, 13))
EMPTY_WHOLE = Answer("", whole=body({"generated_text": ""}))
STOPPED = Answer(
    "one ",
    stream=(token("one"), token(" EN"), token("D"), end("one END", "stop_sequence")),
    usage=Usage(4, 9, 13),
    options={"stop": ["END"]},
)
ERRORS = (
    Failure(b'{"error":"Invalid credentials in Authorization header"}', AuthenticationFailed, 401),
    Failure(b'{"error":"You have exceeded your monthly included credits"}', QuotaExceeded, 402),
    Failure(b'{"error":["Error in `inputs`: field required"],"warnings":[]}', RequestRejected, 400),
    Failure(
        b'{"error":"`inputs` must have less than 9 tokens. Given: 10","error_type":"validation"}', ContextTooLong, 422
    ),
    Failure(b'{"error":"Request failed during generation","error_type":"generation"}', ProviderFailed, 424),
    Failure(b'{"error":"Model is overloaded","error_type":"overloaded"}', Busy, 429),
    Failure(b'{"error":"Incomplete generation","error_type":"incomplete_generation"}', ProviderFailed, 500),
    Failure(b'{"error":"Model is currently loading","estimated_time":20.0}', Busy, 503, retry_after=20.0),
    Failure(b'{"error":"Model time out"}', ProviderFailed, 504),
)
SERVER = Samples(
    ANSWER,
    errors=ERRORS,
    error_whole=Failure(b'{"error":"out of order","error_type":"generation"}', ProviderFailed),
    error_in_stream=Failure(data({"error": "out of order", "error_type": "generation"}), ProviderFailed),
    completion=ANSWER._replace(
        whole=body(
            {
                "generated_text": SAID,
                "details": {"finish_reason": "eos_token", "generated_tokens": 9, "input_length": 4},
            }
        )
    ),
    empty=EMPTY,
    others=(WHOLE, LISTED, EMPTY_WHOLE, CUT, STOPPED),
    models=(body({"model_id": "meta-llama/Llama-2-7b-chat-hf", "max_total_tokens": 2048}),),
    model_ids=("meta-llama/Llama-2-7b-chat-hf",),
)
NOT_SERVED = Failure(b'{"error":"Model not supported by provider hf-inference"}', UnknownModel, 400)


class TestServer(HTTPConformance):
    """A TGI server or an Inference Endpoint."""

    provider = HuggingFace
    samples = SERVER
    config = ProviderConfig("huggingface", base_url="http://127.0.0.1:8080")
    waived: ClassVar[dict[str, str]] = {
        "the-model-is-sent": "the server has one model",
        "blanks-around-a-text-are-sent": "the models' own templates trim every turn",
    }


class TestHub(HTTPConformance):
    """The model routes of the hub."""

    provider = HuggingFace
    samples = SERVER._replace(errors=(*ERRORS, NOT_SERVED), models=(), model_ids=())
