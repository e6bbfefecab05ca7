"""
How much a model is to think, in the words that the services of OpenAI's dialect have for it. Layer 2, pure.

What is asked is `off`, a level (`low`, `medium`, `high`), or a number of tokens. A service that knows only levels takes
the lowest that allows so many tokens, and one that knows only numbers takes those of the level; they are the numbers
that Google gives for the same three words.
"""

from collections.abc import Callable, Mapping

from llmcli.errors import RequestRejected
from llmcli.types import ChatRequest, Json

JsonObject = dict[str, Json]

_TOKENS: Mapping[str, int] = {"low": 1024, "medium": 8192, "high": 24576}


def level(asked: str | int) -> str:
    """`off`, `low`, `medium` or `high`."""
    if isinstance(asked, str):
        return asked
    if asked <= 0:
        return "off"
    return next((name for name, tokens in _TOKENS.items() if asked <= tokens), "high")


def tokens(asked: str | int) -> int:
    """How many tokens it may take; none for `off`."""
    return asked if isinstance(asked, int) else _TOKENS.get(asked, 0)


def effort_word(asked: str | int) -> str:
    """The effort, as OpenAI calls it."""
    return "none" if level(asked) == "off" else level(asked)


def excludes_a_forced_call(request: ChatRequest, provider_id: str) -> RequestRejected:
    """The error for two wishes that exclude one another: to think, and to have to call a tool."""
    return RequestRejected(
        f"{provider_id} thinks only where it is free to call a tool or not: "
        f"--thinking {request.thinking} and --tool-choice {request.tool_choice} exclude one another",
        hint="--thinking off, or --tool-choice auto",
    )


# --- the fields of a request ----------------------------------------------------------------------


def effort(asked: str | int) -> JsonObject:
    """OpenAI's own word."""
    return {"reasoning_effort": effort_word(asked)}


def high_effort(asked: str | int) -> JsonObject:
    """The same word where there is only one effort."""
    return {"reasoning_effort": "none" if level(asked) == "off" else "high"}


def switch(asked: str | int) -> JsonObject:
    """On or off, with as much thinking as the model likes."""
    return {"thinking": {"type": "disabled" if level(asked) == "off" else "enabled"}}


def switch_and_effort(asked: str | int) -> JsonObject:
    """A switch, and how much."""
    return switch(asked) if level(asked) == "off" else {**switch(asked), **effort(asked)}


def budget(asked: str | int) -> JsonObject:
    """A switch, and how many tokens."""
    if level(asked) == "off":
        return {"enable_thinking": False}
    return {"enable_thinking": True, "thinking_budget": tokens(asked)}


def reasoning(asked: str | int) -> JsonObject:
    """OpenRouter's object: how much, or how many tokens."""
    if isinstance(asked, int) and asked > 0:
        return {"reasoning": {"max_tokens": asked}}
    return {"reasoning": {"effort": effort_word(asked)}}


def template(asked: str | int) -> JsonObject:
    """What the chat templates of open models go by: most have the switch, some (gpt-oss) the effort."""
    if level(asked) == "off":
        return {"chat_template_kwargs": {"enable_thinking": False}}
    return {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": level(asked)}}


def template_and_budget(asked: str | int) -> JsonObject:
    """llama.cpp's: the template, and how many tokens if they were said."""
    limit: JsonObject = {"thinking_budget_tokens": asked} if isinstance(asked, int) and asked > 0 else {}
    return {**template(asked), **limit}


WORDS: Mapping[str, Callable[[str | int], JsonObject]] = {
    "effort": effort,
    "high_effort": high_effort,
    "switch_and_effort": switch_and_effort,
    "budget": budget,
    "reasoning": reasoning,
    "template": template,
    "template_and_budget": template_and_budget,
}


def fields(words: str, asked: str | int, provider_id: str) -> JsonObject:
    """What is asked, as a service says it. Raises `RequestRejected` for one that has no words for it."""
    if words not in WORDS:
        raise RequestRejected(
            f"{provider_id} has no control over thinking that all of its models know",
            hint="an --option may have it, by the name that the model's own documentation gives",
        )
    return WORDS[words](asked)
