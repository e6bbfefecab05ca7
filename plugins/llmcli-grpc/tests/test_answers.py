"""What is asked and what is read: methods of both kinds, whatever tells their messages."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import Asking
from grpc_reflection.v1alpha.reflection import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from grpc_service import POOL, Document, saying, serving, stalling
from llmcli.errors import ConfigurationError, Incomplete, ProviderFailed
from llmcli.types import Finish, Metadata, TextDelta, Usage, message

CHUNKS = (
    {"text": "Grüße 🦙", "model": "m-1"},
    {"text": "\nBis bald."},
    {"finish_reason": "length", "usage": {"prompt_tokens": 3, "completion_tokens": 5}},
)
EVENTS = [
    Metadata({"model": "m-1"}),
    TextDelta("Grüße 🦙"),
    TextDelta("\nBis bald."),
    Usage(3, 5, 8),
    Finish("length", "length"),
]


@pytest.mark.parametrize("reflection", ["v1", "v1alpha"])
def test_a_stream_is_read_as_it_comes_and_needs_no_configuration(ask: Asking, reflection: str) -> None:
    with serving(saying(*CHUNKS), reflection=reflection) as server:
        heard = ask(ask.provider(server.base_url))
    assert heard.error is None
    assert sorted(map(str, heard.events)) == sorted(map(str, EVENTS))
    assert heard.text == "Grüße 🦙\nBis bald."
    assert heard.events[-2:] == EVENTS[-2:]


def test_a_descriptor_file_replaces_reflection(ask: Asking) -> None:
    with serving(saying(*CHUNKS), reflection=None) as server:
        heard = ask(ask.provider(server.base_url, descriptor=ask.descriptor))
    assert heard.error is None
    assert heard.text == "Grüße 🦙\nBis bald."
    assert server.asked == ["/llm.v1.LLM/Generate"]


def test_a_unary_method_answers_whole(ask: Asking) -> None:
    table = {"method": "/llm.v1.LLM/Ask", "request": "{messages: messages}", "content": "text", "usage": "usage"}
    said = {"text": "Bonjour !", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    with serving(saying(said)) as server:
        heard = ask(ask.provider(server.base_url, chat=table))
    assert heard.events == [TextDelta("Bonjour !"), Usage(1, 2, 3), Finish("stop")]


def test_what_was_said_is_sent_and_nothing_else(ask: Asking) -> None:
    with serving(saying({"text": "ok"})) as server:
        provider = ask.provider(server.base_url)
        ask(provider)
        ask(
            provider,
            messages=(message("system", "Be brief."), message("user", "Grüße 🦙")),
            max_tokens=2**40,
            temperature=0.5,
            stop=("END",),
            options={"seed": 7},
        )
    assert server.requests[0] == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert server.requests[1] == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße 🦙"}],
        "max_tokens": str(2**40),
        "temperature": 0.5,
        "stop": ["END"],
        "seed": "7",
    }


def test_headers_and_the_key_go_out_as_metadata(ask: Asking) -> None:
    with serving(saying({"text": "ok"})) as server:
        ask(ask.provider(server.base_url, headers={"X-Team": "red"}), key="k-1")
        other = ask.provider(server.base_url)
        other.api_key = other.api_key._replace(header="X-API-Key", scheme="")
        ask(other, key="k-2")
    sent = server.metadata
    assert (sent[0]["authorization"], sent[0]["x-team"]) == ("Bearer k-1", "red")
    assert str(sent[0]["user-agent"]).startswith("llmcli/")
    assert sent[1]["x-api-key"] == "k-2"
    assert "authorization" not in sent[1]


def test_whole_numbers_of_64_bits_are_numbers_to_an_expression(ask: Asking) -> None:
    table = {
        "method": "/llm.v1.LLM/Generate",
        "request": "{model: model}",
        "delta": "text",
        "usage": "usage.{prompt_tokens: prompt_tokens, total_tokens: sum([prompt_tokens, completion_tokens])}",
        "metadata": "{best: max(scores), extra: extra}",
    }
    said = {
        "text": "ok",
        "scores": [1, 2**62],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5},
        "extra": {"deep": {"ratio": 0.5, "id": "12"}},
    }
    with serving(saying(said)) as server:
        heard = ask(ask.provider(server.base_url, chat=table))
    assert Usage(3, None, 8) in heard.events
    assert Metadata({"best": 2**62, "extra": {"deep": {"ratio": 0.5, "id": "12"}}}) in heard.events


def test_an_answer_that_says_nothing_is_complete_and_empty(ask: Asking) -> None:
    with serving(saying({"finish_reason": "stop"})) as server:
        heard = ask(ask.provider(server.base_url))
    assert heard.events == [Finish("stop", "stop")]


def test_a_stream_without_any_message_is_no_answer(ask: Asking) -> None:
    with serving(saying()) as server:
        heard = ask(ask.provider(server.base_url))
    assert isinstance(heard.error, ProviderFailed)
    assert "empty answer" in heard.error.message


def test_an_error_in_a_message_is_an_error(ask: Asking) -> None:
    with serving(saying({"text": "Hel"}, {"error": "out of order"})) as server:
        heard = ask(ask.provider(server.base_url))
    assert heard.text == "Hel"
    assert isinstance(heard.error, Incomplete)
    assert "out of order" in heard.error.message


def test_a_message_that_does_not_fit_the_descriptor_is_an_error(ask: Asking) -> None:
    with serving(saying(b"\xff\xff\xff")) as server:
        heard = ask(ask.provider(server.base_url))
    assert isinstance(heard.error, ProviderFailed)
    assert "llm.v1.GenerateChunk" in heard.error.message


def test_a_message_that_json_cannot_say_is_an_error(ask: Asking) -> None:
    not_a_number = b"\x3a\x10\x0a\x0e\x0a\x01x\x12\x09\x11\0\0\0\0\0\0\xf8\x7f"  # extra: {x: nan}
    with serving(saying(not_a_number)) as server:
        heard = ask(ask.provider(server.base_url))
    assert isinstance(heard.error, ProviderFailed)
    assert "JSON cannot say" in heard.error.message


def end_table(end: str) -> dict[str, str]:
    return {"method": "/llm.v1.LLM/Generate", "request": "{model: model}", "delta": "text", "end": end}


def test_an_end_marker_in_a_message_ends_a_stream_that_stays_open(ask: Asking) -> None:
    with serving(stalling({"text": "done so"}, {"done": True})) as server:
        heard = ask(ask.provider(server.base_url, chat=end_table("done")))
        assert server.gone.wait(10)
    assert heard.events == [TextDelta("done so"), Finish("stop")]


def test_where_an_end_marker_is_promised_the_status_alone_is_not_enough(ask: Asking) -> None:
    with serving(saying({"text": "done so"})) as server:
        heard = ask(ask.provider(server.base_url, chat=end_table("done")))
    assert isinstance(heard.error, Incomplete)


def test_two_answers_may_be_read_at_once(ask: Asking) -> None:
    both = threading.Barrier(2)

    def script(request: Document, context: grpc.ServicerContext) -> Iterator[Document]:
        both.wait(10)
        yield {"text": request["messages"][0]["content"]}
        both.wait(10)
        yield {"text": "!"}

    with serving(script) as server, ThreadPoolExecutor(2) as pool:
        provider = ask.provider(server.base_url)
        heard = pool.map(lambda name: ask(provider, messages=(message("user", name),)), ("one", "two"))
        assert [each.text for each in heard] == ["one!", "two!"]


def test_no_thread_is_left_behind(ask: Asking) -> None:
    with serving(saying(*CHUNKS)) as server:
        before = set(threading.enumerate())
        ask(ask.provider(server.base_url))
        for thread in set(threading.enumerate()) - before:
            if not thread.name.startswith("server"):
                thread.join(10)
                assert not thread.is_alive(), thread


def test_reflection_as_grpcio_itself_offers_it_is_understood(ask: Asking) -> None:
    servicer = ReflectionServicer(["llm.v1.LLM"], POOL)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo, ServerReflectionRequest.FromString, ServerReflectionResponse.SerializeToString
    )
    generic = grpc.method_handlers_generic_handler(
        "grpc.reflection.v1alpha.ServerReflection", {"ServerReflectionInfo": handler}
    )
    with serving(saying({"text": "ok"}), reflection=None, handlers=[generic]) as server:
        assert ask(ask.provider(server.base_url)).text == "ok"


@pytest.mark.parametrize("answers", [[], [b"", b""], [b"\xff"]], ids=["none", "two", "nonsense"])
def test_a_reflection_that_breaks_its_promise_is_the_servers_fault(ask: Asking, answers: list[bytes]) -> None:
    handler = grpc.stream_stream_rpc_method_handler(lambda requests, context: iter(answers), bytes, bytes)
    broken = grpc.method_handlers_generic_handler(
        "grpc.reflection.v1.ServerReflection", {"ServerReflectionInfo": handler}
    )
    with serving(saying({"text": "ok"}), handlers=[broken]) as server:
        heard = ask(ask.provider(server.base_url))
    assert type(heard.error) is ProviderFailed


def test_a_server_without_reflection_is_said_to_need_a_descriptor(ask: Asking) -> None:
    with serving(saying({"text": "ok"}), reflection=None) as server:
        heard = ask(ask.provider(server.base_url))
    assert isinstance(heard.error, ConfigurationError)
    assert heard.error.hint is not None
    assert "descriptor" in heard.error.hint
