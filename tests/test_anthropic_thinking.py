"""
The Messages API and how much to think: what each generation of models takes, and what is said to one that takes it
in another way.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from llmcli.answer import Call, answer
from llmcli.errors import LlmError, RequestRejected, UsageError
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport
from llmcli.types import Finish, Tool
from tests.messages_api import body, provider, request, sse, start, stop, text_block
from tests.servers import Connection, Server, whole

ADAPTIVE = {"type": "adaptive", "display": "summarized"}


def thinking(model: str = "claude-next", **said: Any) -> dict[str, Any]:
    """What is sent of a request that has to do with thinking."""
    sent = provider().chat_request(request(**said)._replace(model=model), stream=False).body
    names = ("thinking", "output_config", "max_tokens")
    return {name: value for name, value in json.loads(sent or b"").items() if name in names}


# --- what is sent first ---------------------------------------------------------------------------


def test_nothing_is_said_where_nobody_said_anything() -> None:
    assert {"thinking", "output_config"} & body().keys() == set()


@pytest.mark.parametrize(("level", "room"), [("low", 1024), ("medium", 8192), ("high", 24576)])
def test_a_level_is_an_effort_and_what_is_thought_does_not_shorten_the_answer(level: str, room: int) -> None:
    assert thinking(thinking=level) == {
        "thinking": ADAPTIVE,
        "output_config": {"effort": level},
        "max_tokens": 16000 + room,
    }


@pytest.mark.parametrize(
    "model",
    ["claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-sonnet-4-5", "claude-opus-4-1", "claude-opus-4-20250514",
     "claude-sonnet-4-0", "claude-3-7-sonnet-latest"],
)  # fmt: skip
def test_models_that_know_only_budgets_are_given_one_at_once(model: str) -> None:
    assert thinking(model, thinking="medium") == {
        "thinking": {"type": "enabled", "budget_tokens": 8192},
        "max_tokens": 16000 + 8192,
    }


@pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-sonnet-4-6-20260301", "claude-haiku-5-5", "glm-5"])
def test_other_models_are_told_an_effort_first(model: str) -> None:
    assert thinking(model, thinking="medium")["thinking"] == ADAPTIVE


def test_a_number_of_tokens_is_a_budget() -> None:
    assert thinking(thinking=5000) == {
        "thinking": {"type": "enabled", "budget_tokens": 5000},
        "max_tokens": 21000,
    }
    assert thinking(thinking=5000, max_tokens=5001)["max_tokens"] == 5001, "what was said is not changed"


@pytest.mark.parametrize(("max_tokens", "budget"), [(2000, 1024), (10_000, 5000), (100_000, 24576)])
def test_a_budget_that_we_choose_leaves_half_to_the_answer(max_tokens: int, budget: int) -> None:
    sent = thinking("claude-haiku-4-5", thinking="high", max_tokens=max_tokens)
    assert sent == {"thinking": {"type": "enabled", "budget_tokens": budget}, "max_tokens": max_tokens}


@pytest.mark.parametrize("said", ["off", 0])
def test_thinking_can_be_turned_off(said: str | int) -> None:
    assert thinking(thinking=said) == {"thinking": {"type": "disabled"}, "max_tokens": 16000}


def test_an_option_has_the_last_word() -> None:
    own = {"type": "enabled", "budget_tokens": 2000}
    sent = thinking(thinking="low", options={"thinking": own})
    assert sent == {"thinking": own, "max_tokens": 16000}
    sent = thinking(thinking="low", options={"output_config": {"effort": "max"}})
    assert (sent["thinking"], sent["output_config"]) == (ADAPTIVE, {"effort": "max"})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"thinking": 1023}, "at least 1024 tokens, not for 1023"),
        (
            {"thinking": 5000, "max_tokens": 5000},
            "--max-tokens 5000 leaves no room to think: it must be more than 5000",
        ),
        ({"thinking": "low", "max_tokens": 1024}, "--max-tokens 1024 leaves no room to think"),
    ],
)
def test_a_budget_that_no_model_takes_is_refused_before_it_is_sent(said: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        provider().check(request(**said))


def test_an_effort_needs_no_room() -> None:
    provider().check(request(thinking="low", max_tokens=100)._replace(model="claude-opus-5"))


# --- what a model refuses, in the words of the service --------------------------------------------

NO_ENABLED = (
    '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" '
    "to control thinking behavior."
)
NO_DISABLED = NO_ENABLED.replace("enabled", "disabled")
NO_ADAPTIVE = "adaptive thinking is not supported on this model"
NO_EFFORT = "This model does not support the effort parameter."
NO_DISPLAY = "thinking.adaptive.display: Extra inputs are not permitted"
NO_BETWEEN = (
    "thinking: Input tag 'between_tools' found using 'type' does not match any of the expected tags: 'adaptive', "
    "'disabled', 'enabled'"
)
NO_THINKING = "thinking: Extra inputs are not permitted"
FORCED = "Thinking may not be enabled when tool_choice forces tool use."
NO_SAMPLING = (
    "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. Please consult our documentation"
)


class Model:
    """A service with one model, which takes these forms of `thinking` (`None`: nothing said) and maybe an effort."""

    def __init__(self, *forms: str | None, effort: bool = True, display: bool = True, most: int = 64_000) -> None:
        self.forms, self.effort, self.display, self.most = forms, effort, display, most

    def refusal(self, asked: dict[str, Any]) -> str | None:
        """What it says to a request that it does not take."""
        told = asked.get("thinking") or {}
        form: Any = told.get("type")
        if asked["max_tokens"] > self.most:
            return f"max_tokens: {asked['max_tokens']} > {self.most}, which is the maximum allowed number of tokens"
        if form not in self.forms:
            refusals = {"enabled": NO_ENABLED, "disabled": NO_DISABLED, "adaptive": NO_ADAPTIVE,
                        "between_tools": NO_BETWEEN}  # fmt: skip
            return refusals[form] if any(self.forms) else NO_THINKING
        if asked.get("tool_choice") == {"type": "any"} and "disabled" not in self.forms:
            return FORCED
        if "display" in told and not self.display:
            return NO_DISPLAY
        if "output_config" in asked and not self.effort:
            return NO_EFFORT
        if form in ("enabled", "adaptive") and asked.get("temperature", 1) != 1:
            return NO_SAMPLING
        if form == "enabled" and not 1024 <= told["budget_tokens"] < asked["max_tokens"]:
            return "`max_tokens` must be greater than `thinking.budget_tokens`."
        return None

    def __call__(self, connection: Connection) -> None:
        """Answer one request."""
        refusal = self.refusal(connection.request.json)
        if refusal is None:
            events = sse(start(), *text_block(0, "hi"), *stop())
            connection.send(whole(200, events, "text/event-stream"))
        else:
            error = {"type": "invalid_request_error", "message": refusal}
            connection.send(whole(400, {"type": "error", "error": error}))


# As the reference has them, section 1.
BEFORE_4_6 = Model(None, "enabled", "disabled", effort=False)
OPUS_4_1 = Model(None, "enabled", "disabled", effort=False, most=32_000)
OPUS_4_6 = Model(None, "enabled", "adaptive", "disabled")
OPUS_4_7 = Model(None, "adaptive", "disabled")
SONNET_5_5 = Model(None, "adaptive", "between_tools")
ALWAYS = Model(None, "adaptive")
THOUGHTLESS = Model(None)
OLD_GATEWAY = Model(None, "adaptive", "disabled", display=False)
EFFORTLESS = Model(None, "enabled", "adaptive", effort=False)


def asked_of(model: Model, name: str = "unknown", **said: Any) -> list[dict[str, Any]]:
    """The requests that an answer takes. Raises the error if there is none."""
    with closing(Server(model)) as server:
        call = Call(Transport(env={}), retry=RetryPolicy(retries=0), stream=True)
        adapter = provider(server.url)
        (*_, last) = answer(adapter, request(**said)._replace(model=name), call)
        assert last == Finish("stop", "end_turn")
        return [each.json for each in server.requests]


def forms(requests: list[dict[str, Any]]) -> Iterator[str]:
    """The forms of `thinking` that were tried."""
    return (each.get("thinking", {}).get("type", "-") for each in requests)


@pytest.mark.parametrize(
    ("model", "said", "tried"),
    [
        (BEFORE_4_6, "low", "adaptive enabled"),
        (BEFORE_4_6, 4000, "enabled"),
        (BEFORE_4_6, "off", "disabled"),
        (OPUS_4_1, "high", "adaptive adaptive enabled"),
        (OPUS_4_6, "high", "adaptive"),
        (OPUS_4_6, 4000, "enabled"),
        (OPUS_4_7, "high", "adaptive"),
        (OPUS_4_7, 4000, "enabled adaptive"),
        (OPUS_4_7, "off", "disabled"),
        (SONNET_5_5, "medium", "adaptive"),
        (SONNET_5_5, "off", "disabled between_tools"),
        (ALWAYS, 4000, "enabled adaptive"),
        (THOUGHTLESS, "off", "disabled -"),
        (OLD_GATEWAY, "low", "adaptive adaptive"),
        (EFFORTLESS, "low", "adaptive enabled"),
    ],
)
def test_every_generation_of_models_is_told_in_the_way_that_it_takes(model: Model, said: str | int, tried: str) -> None:
    """llmmanorg/llmman#507: a form that a model does not know is an error there."""
    assert " ".join(forms(asked_of(model, thinking=said))) == tried


def test_a_budget_becomes_the_effort_that_allows_it() -> None:
    (*_, last) = asked_of(OPUS_4_7, thinking=4000)
    assert last["output_config"] == {"effort": "medium"}
    assert last["max_tokens"] == 20_000


def test_room_that_we_asked_for_and_a_model_does_not_have_is_taken_from_the_budget() -> None:
    (*_, last) = asked_of(OPUS_4_1, "claude-opus-4-1", thinking="high")
    assert (last["max_tokens"], last["thinking"]["budget_tokens"]) == (32_000, 16_000)


@pytest.mark.parametrize(
    ("model", "said", "message"),
    [
        (THOUGHTLESS, {"thinking": "high"}, "Extra inputs are not permitted"),
        (ALWAYS, {"thinking": "off"}, "does not match any of the expected tags"),
        (OPUS_4_6, {"thinking": "low", "temperature": 0.5}, "`temperature` may only be set to 1"),
        (BEFORE_4_6, {"thinking": "low", "max_tokens": 500}, "adaptive thinking is not supported"),
    ],
)
def test_what_cannot_be_had_in_any_way_is_refused_with_the_word_of_the_service(
    model: Model, said: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestRejected, match=message):
        asked_of(model, **said)


@pytest.mark.parametrize("model", [ALWAYS, SONNET_5_5])
def test_a_call_that_is_demanded_of_a_model_that_always_thinks_is_refused_with_what_helps(model: Model) -> None:
    """Not with a word on --thinking off, which nobody said."""
    with pytest.raises(RequestRejected) as caught:
        asked_of(model, tools=(Tool("now"),), tool_choice="required")
    assert caught.value.message == FORCED
    assert caught.value.hint == "--tool-choice auto leaves it to the model, which thinks, whether a tool is called"


def test_a_model_that_always_thinks_is_named_as_that() -> None:
    with pytest.raises(LlmError) as caught:
        asked_of(ALWAYS, thinking="off")
    assert caught.value.hint == "the model always thinks: leave --thinking off out, or say --thinking low"


def test_a_form_that_the_user_chose_is_not_changed() -> None:
    with closing(Server(OPUS_4_7)) as server:
        asked = request(thinking="low", options={"thinking": {"type": "enabled", "budget_tokens": 2000}})
        with pytest.raises(RequestRejected, match=r"thinking\.type\.enabled"):
            list(answer(provider(server.url), asked, Call(Transport(env={}), retry=RetryPolicy(retries=0))))
        assert server.accepted == 1
