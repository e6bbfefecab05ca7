"""
How much to think, as Anthropic's Messages API wants to be told. Layer 2, pure: values in, values out.

There are two ways. Models before Claude 4.6 are given a budget (`enabled`), later ones think as long as they find it
worth while (`adaptive`), and are told by `effort` how much that is. A model refuses the other way, and nothing but its
error says which it takes; so one is tried, and the other when the service refuses it (`ChatRequest.without` holds what
was refused). Sources: the API's pages on extended and adaptive thinking and on effort, and its own error messages.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from llmcli.errors import UsageError
from llmcli.providers import thinking_control
from llmcli.providers.thinking_control import level, tokens
from llmcli.types import ChatRequest, Json

_LEAST_BUDGET = 1_024  # the API takes no smaller one
_HAS_BUDGET = r"claude-(?:3|haiku-4|(?:sonnet|opus)-4-(?:[015]\b|20))"  # those that there will ever be
_UNASKED = "thinking unasked"  # in `ChatRequest.without`: a model thinks by itself, where it must not
NOT_WITH_A_FORCED_CALL = r"(?i)thinking may not be enabled when|thinking.*\btool_choice\b|\btool_choice\b.*thinking"
_UNKNOWN = r"(?i)thinking: extra inputs|not support(?:ed)? thinking|thinking is not support"
_REFUSED = (
    r"(?is)(?=.*\b(?:{about}))(?=.*(?:not support|unsupported|extra input|does not match|not permitted|not available"
    r"|cannot|unknown|unrecogni))"
)  # fmt: skip

_Form: TypeAlias = Literal["adaptive", "enabled", "disabled", "between_tools"]


class Control(NamedTuple):
    """`thinking` and `effort` as they are sent, if they are; `budget`: the tokens that the model may think for."""

    thinking: dict[str, Json] | None = None
    effort: str | None = None
    budget: int = 0


def control(request: ChatRequest) -> Control:
    """What a request says about thinking."""
    asked, form = request.thinking, _form(request)
    if form is None:
        return Control()
    match form:
        case "enabled":
            budget = _budget(request)
            return Control({"type": "enabled", "budget_tokens": budget}, budget=budget)
        case "adaptive":
            # Without `display` later models hold their thoughts back.
            shown: dict[str, Json] = {} if "display" in request.without else {"display": "summarized"}
            return Control({"type": "adaptive", **shown}, level(asked or "off"), _budget(request))
    return Control({"type": form})


def check(request: ChatRequest, provider_id: str) -> None:
    """Refuse a budget that no model takes (`UsageError`), and to think where a tool has to be called."""
    asked = request.thinking
    if asked is not None and level(asked) != "off" and _forced(request):
        raise thinking_control.excludes_a_forced_call(request, provider_id)
    if isinstance(asked, int) and 0 < asked < _LEAST_BUDGET:
        raise UsageError(
            f"{provider_id} thinks for at least {_LEAST_BUDGET} tokens, not for {asked}",
            hint="--thinking off: not at all",
        )
    if _form(request) == "enabled" and not _fits(request):
        raise UsageError(
            f"--max-tokens {request.max_tokens} leaves no room to think: it must be more than {_least(request)}"
        )


def choices(request: ChatRequest) -> Iterator[tuple[str, str]]:
    """
    What we chose to say about thinking and could say in another way, and the pattern of the error with which the
    service refuses it.
    """
    form = _form(request)
    if form == "adaptive":
        if "display" not in request.without:
            yield "display", _refusal("display")
        if "enabled" not in request.without and _fits(request):
            yield "adaptive", _refusal("adaptive|thinking|effort|output_config")
    elif form == "enabled" and "adaptive" not in request.without:
        yield "enabled", _refusal("thinking|budget_tokens")
    elif form is None and request.thinking is None and _forced(request):
        if not {_UNASKED, "thinking"} & (request.without | request.options.keys()):
            yield _UNASKED, NOT_WITH_A_FORCED_CALL
    elif form == "disabled":
        yield "thinking", _UNKNOWN  # who does not know it cannot think: nothing need be turned off
        yield "disabled", _refusal("thinking|disabled")
    elif form == "between_tools" and request.thinking is None:
        yield "thinking", _refusal("thinking|between_tools")  # it always thinks: what it said at first was the matter


def _refusal(about: str) -> str:
    return _REFUSED.format(about=about)


def _form(request: ChatRequest) -> _Form | None:
    """The way to say it that was not refused yet."""
    unasked = request.thinking is None and _UNASKED in request.without and _forced(request)
    asked = "off" if unasked else request.thinking
    forms: tuple[_Form, ...] = ("adaptive", "enabled")
    if asked is None or "thinking" in request.without | request.options.keys():
        return None
    if level(asked) == "off":
        forms = ("disabled", "between_tools")
    elif isinstance(asked, int) or re.match(_HAS_BUDGET, request.model):
        forms = ("enabled", "adaptive")
    return next((form for form in forms if form not in request.without), forms[-1])


def _forced(request: ChatRequest) -> bool:
    return bool(request.tools) and request.tool_choice not in (None, "auto", "none")


def _budget(request: ChatRequest) -> int:
    """The tokens to think for. Where we choose them, half of `max_tokens` at least is left to the answer."""
    if isinstance(request.thinking, int):
        return request.thinking
    usual = tokens(request.thinking or "low")
    return usual if request.max_tokens is None else max(_LEAST_BUDGET, min(usual, request.max_tokens // 2))


def _least(request: ChatRequest) -> int:
    return request.thinking if isinstance(request.thinking, int) else _LEAST_BUDGET


def _fits(request: ChatRequest) -> bool:
    """Whether there is room for a budget, which must be smaller than `max_tokens`."""
    return request.max_tokens is None or request.max_tokens > _least(request)
