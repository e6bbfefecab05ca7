"""
llmcli's conformance kit, played with what the API writes.

The samples are the API's own words: better than these are bytes that were recorded with `curl -N`.
"""

from importlib.metadata import entry_points

from llmcli.errors import AuthenticationFailed, Busy, ProviderFailed, RequestRejected, UnknownModel
from llmcli.testing import Answer, Failure, Samples, body, json_line
from llmcli.testing.conformance import HTTPConformance
from llmcli.types import FinishReason, Json, Usage

from llmcli_skeleton import Skeleton


def problem(code: int, text: str) -> Json:
    return {"problem": {"code": code, "text": text}}


def answer(text: str, *pieces: str, stopped: str = "complete", finish: FinishReason = "stop") -> Answer:
    """An answer as the API writes it, in pieces and whole."""
    result: dict[str, Json] = {"model_used": "skeleton-large-7", "stopped": stopped}
    metrics: Json = {"input_tokens": 4, "output_tokens": 3, "total_tokens": 7}
    lines = [json_line({"text": piece}) for piece in pieces]
    return Answer(
        text,
        stream=(*lines, json_line({"done": True, "result": result, "metrics": metrics})),
        whole=body({"result": {"ai_response": text, **result}, "metrics": metrics}),
        finish=finish,
        usage=Usage(4, 3, 7),
        model="skeleton-large-7",
    )


class TestSkeleton(HTTPConformance):
    """Every check is a test of its own, and says what to change when it fails."""

    provider = Skeleton
    samples = Samples(
        answer("Grüße 🦙\nBis bald.", "Grüße", " 🦙\nBis bald."),
        errors=(
            Failure(body(problem(401, "this key opens nothing here")), AuthenticationFailed, 401),
            Failure(body(problem(404, "the model x does not exist")), UnknownModel, 200),
            Failure(body(problem(422, "creativity is a number from 0 to 1")), RequestRejected, 422),
            Failure(body(problem(429, "too many questions")), Busy, 429, {"Retry-After": "120"}, retry_after=120.0),
            Failure(body(problem(500, "Skeleton is out of order")), ProviderFailed, 500),
        ),
        error_whole=Failure(body(problem(500, "Skeleton is out of order")), ProviderFailed),
        error_in_stream=Failure(json_line(problem(500, "Skeleton is out of order")), ProviderFailed),
        empty=answer(""),
        others=(answer("Grüße", "Grüße", stopped="limit", finish="length"),),
        models=(body({"entries": [{"slug": "skeleton-large", "window": 32000}, {"slug": "skeleton-small"}]}),),
        model_ids=("skeleton-large", "skeleton-small"),
    )


def test_the_name_of_the_entry_point_is_the_id() -> None:
    """By any other name the program would not find the provider."""
    ours = {entry.name for entry in entry_points(group="llmcli.providers") if entry.module == Skeleton.__module__}
    assert ours == {Skeleton.id}
