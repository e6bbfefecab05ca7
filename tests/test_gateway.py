"""The gateway of one's own: messages and options out, OpenAI's format back, with metadata beside it."""

import json
from typing import Any

import pytest

from llmcli.errors import ProviderFailed
from llmcli.providers.gateway import Gateway
from llmcli.types import ChatRequest, Finish, Json, Metadata, ProviderConfig, TextDelta, Usage, message
from tests.chat_streams import delta, finish, metadata, read, read_answer, sse, stream_events, text, usage

ANSWER: dict[str, Json] = {
    "choices": [{"message": {"role": "assistant", "content": "Hi."}}],
    "metadata": {"model": "mine-1", "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}},
}


def gateway(base_url: str | None = None) -> Gateway:
    return Gateway(ProviderConfig("gateway", base_url=base_url))


def body(model: str = "m", *, stream: bool = False, **settings: Any) -> dict[str, Any]:
    request = ChatRequest(model, (message("system", "s"), message("user", "u")), **settings)
    sent = gateway().chat_request(request, stream=stream)
    assert sent.body is not None
    decoded: dict[str, Any] = json.loads(sent.body)
    return decoded


def test_a_gateway_gets_messages_and_options() -> None:
    """Everything but the messages is an option."""
    assert body(max_tokens=5, temperature=0.5, options={"style": "terse"}) == {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "options": {"model": "m", "max_tokens": 5, "temperature": 0.5, "style": "terse"},
    }


def test_a_gateway_is_told_when_a_stream_is_wanted() -> None:
    """And nothing that it may not know."""
    assert body(stream=True)["options"] == {"model": "m", "stream": True}


def test_a_gateway_chooses_the_model_by_itself() -> None:
    """Unless one is named."""
    assert gateway().default_model == "default"
    assert body("default")["options"] == {}


@pytest.mark.parametrize("url", [None, "http://localhost:8080/api/", "http://localhost:8080/api/chat"])
def test_a_gateway_is_asked_at_chat(url: str | None) -> None:
    """The guide's address is the default."""
    sent = gateway(url).chat_request(ChatRequest("m", ()), stream=False)
    assert (sent.method, sent.url) == ("POST", "http://localhost:8080/api/chat")


def test_a_gateways_key_is_optional() -> None:
    """If there is one it is a bearer token."""
    assert (Gateway.api_key.required, Gateway.api_key.env) == (False, ("GATEWAY_API_KEY",))
    provider = gateway()
    sent = provider.authorize(provider.chat_request(ChatRequest("m", ()), stream=False), "K")
    assert sent.headers["Authorization"] == "Bearer K"


def test_a_gateway_lists_no_models() -> None:
    """The guide's has no address for it."""
    assert gateway().models_request() is None


def test_the_guides_answer_is_complete() -> None:
    """It has no finish reason, and the model and the usage are in its metadata."""
    assert read_answer(gateway(), ANSWER) == [
        Metadata({"model": "mine-1"}),
        TextDelta("Hi."),
        Usage(5, 1, 6),
        Finish("stop", None),
    ]


def test_all_metadata_of_a_gateway_are_passed_on() -> None:
    """Whatever the gateway wants to say, false and zero too."""
    answer = {**ANSWER, "metadata": {"model": None, "cached": False, "route": {"host": "a"}}}
    assert metadata(read_answer(gateway(), answer)) == {"cached": False, "route": {"host": "a"}}


def test_the_metadata_of_a_gateway_cannot_replace_its_answer() -> None:
    """Only what is missing beside them is taken from them."""
    answer: dict[str, Json] = {**ANSWER, "id": "c1", "metadata": {"id": "other", "choices": [], "usage": None}}
    events = read_answer(gateway(), answer)
    assert text(events) == "Hi."
    assert metadata(events) == {"id": "c1"}


@pytest.mark.parametrize("odd", [None, "text", [1]])
def test_metadata_of_another_type_are_ignored(odd: Json) -> None:
    """A gateway is written in an afternoon."""
    assert text(read_answer(gateway(), {**ANSWER, "metadata": odd})) == "Hi."


def test_a_gateway_that_answers_nothing_has_failed() -> None:
    """An empty answer is no success."""
    with pytest.raises(ProviderFailed, match="no choices"):
        read_answer(gateway(), {"metadata": {"model": "mine-1"}})


def test_a_stream_of_a_gateway_is_read_however_it_is_cut() -> None:
    """OpenAI's chunks, with the metadata in any of them."""
    stream = sse(
        delta(content="H\u00e9"),
        {**delta("stop", content="llo"), "metadata": {"usage": {"prompt_tokens": 5}, "route": "a"}},
    )
    expected = list(stream_events(gateway(), stream))
    assert (text(expected), usage(expected), finish(expected)) == ("H\u00e9llo", Usage(5), Finish("stop", "stop"))
    assert metadata(expected) == {"model": "m", "id": "c1", "route": "a"}
    for cut in range(1, len(stream)):
        assert list(stream_events(gateway(), stream[:cut], stream[cut:])) == expected


def test_a_stream_of_a_gateway_needs_an_end() -> None:
    """P38: what was cut off is not complete, for a gateway as for any other."""
    assert read(gateway(), delta(content="Hi"), done=False)[-1] == TextDelta("Hi")
