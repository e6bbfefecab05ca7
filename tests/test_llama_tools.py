"""
A real llama.cpp server and what a request may hold beside its messages: tools, thinking, an image, a schema, bare text;
in both of OpenAI's APIs, which the server has. Its model recites a text (`tiny_model.py`); all else is as its users
have it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli.answer import Call, Fold, answer
from llmcli.errors import RequestRejected
from llmcli.provider import HTTPProvider
from llmcli.providers.vendors import LlamaCpp, OpenAICompatible
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport
from llmcli.types import (
    Attachment,
    ChatRequest,
    Message,
    ProviderConfig,
    Reply,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    message,
)
from tests import tiny_model
from tests.conftest import LLAMA_KEY
from tests.llama_server import LlamaServer
from tests.program import Program
from tests.test_llama_server import THOUGHTS, TOOL_CALL, command

Reciting = Callable[[str], LlamaServer]

ASKED = message("user", "What is the weather in Paris?")
WEATHER = Tool(
    "get_weather",
    "tells the weather",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CLOCK = Tool("now")
RESPONSES = {"api": "responses"}

in_both_apis = pytest.mark.parametrize("options", [{}, RESPONSES], ids=["chat", "responses"])
in_both_ways = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def ask(
    server: LlamaServer, *messages: Message, stream: bool = True, cls: type[HTTPProvider] = LlamaCpp, **said: Any
) -> Reply:
    """The reply of the real server, through the driver and the network. Nothing is tried again."""
    provider = cls(ProviderConfig(cls.id, base_url=server.url))
    call = Call(Transport(env={}), LLAMA_KEY, retry=RetryPolicy(retries=0), stream=stream)
    fold = Fold(cls.id, "tiny", keep=True)
    for _ in fold.watch(answer(provider, ChatRequest("tiny", messages or (ASKED,), **said), call)):
        pass
    return fold.reply()


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    """A file with the server's key, as --api-key-file takes it."""
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(LLAMA_KEY)
    return str(path)


def tokens(reply: Reply) -> int:
    assert reply.usage is not None
    assert reply.usage.prompt_tokens is not None
    return reply.usage.prompt_tokens


@in_both_apis
@in_both_ways
@pytest.mark.parametrize("cls", [LlamaCpp, OpenAICompatible])
def test_a_tool_is_called_and_its_result_is_taken(
    reciting: Reciting, cls: type[HTTPProvider], stream: bool, options: dict[str, Any]
) -> None:
    """The model says the same again, whatever it hears; that it hears the result is seen from the prompt's tokens."""
    server, tools = reciting(TOOL_CALL), (WEATHER,)
    first = ask(server, stream=stream, cls=cls, tools=tools, options=options)
    (call,) = first.message.parts
    assert isinstance(call, ToolCall)
    assert (call.name, json.loads(call.arguments), call.valid) == ("get_weather", {"city": "Paris"}, True)
    assert first.finish.reason == "tool_calls"
    sizes = [tokens(first)]
    for result in ("", "sunny", "sunny and warm"):
        results = Message("tool", (ToolResult(call.id, call.name, result),))
        second = ask(server, ASKED, first.message, results, stream=stream, cls=cls, tools=tools, options=options)
        assert second.finish.reason == "tool_calls"
        sizes.append(tokens(second))
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("choice", ["required", "get_weather"])
def test_a_call_may_be_demanded(reciting: Reciting, choice: str) -> None:
    """With a name only that tool is told of, because the server knows no names here."""
    server = reciting(TOOL_CALL)
    asked = ask(server, tools=(WEATHER, CLOCK))
    demanded = ask(server, tools=(WEATHER, CLOCK), tool_choice=choice)
    assert demanded.finish.reason == "tool_calls"
    assert (tokens(demanded) < tokens(asked)) == (choice == "get_weather")


@in_both_apis
@in_both_ways
def test_the_thinking_of_a_real_model_is_a_part_of_its_own(
    reciting: Reciting, stream: bool, options: dict[str, Any]
) -> None:
    reply = ask(reciting(THOUGHTS), stream=stream, options=options)
    thought, said = reply.message.parts
    assert isinstance(thought, Thinking)
    assert thought.text.strip() == "first I ponder."
    assert said == Text("The answer is 42.")
    again = ask(reciting(THOUGHTS), ASKED, reply.message, ASKED, stream=stream, options=options)
    assert again.message.text == "The answer is 42."


@in_both_apis
@pytest.mark.parametrize("asked", ["off", "low", "high", 100])
def test_how_much_to_think_is_taken(reciting: Reciting, asked: str | int, options: dict[str, Any]) -> None:
    assert ask(reciting(tiny_model.TEXT), thinking=asked, options=options).message.text == tiny_model.TEXT


@in_both_apis
def test_an_image_that_the_model_cannot_see_is_refused(reciting: Reciting, options: dict[str, Any]) -> None:
    seen = Message("user", (Text("What is this?"), Attachment("image/png", b"\x89PNG\r\n\x1a\n")))
    with pytest.raises(RequestRejected, match="image input is not supported"):
        ask(reciting(tiny_model.TEXT), seen, options=options)


@in_both_ways
@pytest.mark.parametrize("said", [THOUGHTS, TOOL_CALL])
def test_a_completion_is_what_the_model_wrote(reciting: Reciting, stream: bool, said: str) -> None:
    """No template, and nothing is taken out of it."""
    reply = ask(reciting(said), message("user", "Once"), stream=stream, complete=True)
    assert reply.message.parts == (Text(said),)
    assert (reply.finish.reason, reply.model) == ("stop", "tiny")
    assert tokens(reply) < tokens(ask(reciting(said), message("user", "Once"), stream=stream))


@in_both_ways
def test_a_schema_holds_the_model_to_it(reciting: Reciting, stream: bool) -> None:
    """A model that would say another thing says what the schema allows."""
    server = reciting('{"n": true}')
    allowed, other = (
        Schema("s", {"type": "object", "properties": {name: {"type": "boolean"}}, "required": [name]}) for name in "nm"
    )
    assert ask(server, stream=stream, schema=allowed).message.text == '{"n": true}'
    held = json.loads(ask(server, stream=stream, schema=other, temperature=0, max_tokens=100).message.text)
    assert isinstance(held.pop("m"), bool)
    assert held == {}
    assert ask(server, stream=stream, schema=Schema("any", {})).message.text == '{"n": true}'


# --- the program ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_the_program_asks_in_the_other_api_where_an_option_says_so(
    llmcli: Program, reciting: Reciting, key_file: str, way: str
) -> None:
    server, said = reciting(THOUGHTS), (way, "--json", "--option", "api=responses")
    done = llmcli(*command(server, "llamacpp", key_file, *said))
    assert (done.json["content"], done.json["thinking"].strip()) == ("The answer is 42.", "first I ponder.")
    assert done.json["metadata"]["finish_reason"] == "stop"
    shown = llmcli(*command(server, "llamacpp", key_file, *said, "--dry-run")).json
    assert shown["url"].endswith("/v1/responses")
    assert "api" not in shown["body"]


def test_the_program_asks_in_the_api_that_the_configuration_names(
    llmcli: Program, reciting: Reciting, key_file: str
) -> None:
    llmcli.configure('[providers.llamacpp.options]\napi = "responses"\n')
    done = llmcli(*command(reciting(THOUGHTS), "llamacpp", key_file, "--verbose"))
    assert (done.text, done.status) == ("The answer is 42.", 0)
    assert "/v1/responses" in done.err


def test_an_api_that_there_is_not_exits_2(llmcli: Program, reciting: Reciting, key_file: str) -> None:
    done = llmcli(*command(reciting(THOUGHTS), "llamacpp", key_file, "--option", "api=telepathy"))
    assert (done.out, done.status) == (b"", 2)
    assert "--option api=telepathy is not one of chat, responses" in done.err
