"""The built-in echo, which has no wire: its options tell it how to answer."""

from typing import Any

from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ContextTooLong,
    NetworkFailed,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
)
from llmcli.testing import Answer, Failure, Samples
from llmcli.types import Text, Thinking, ToolCall, Usage
from tests.wire_samples import TEXT


def answer(says: Any, text: str, words: int, **more: Any) -> Answer:
    """The answer of so many words to a request of one word with these options."""
    options = more.pop("options", {})
    return Answer(says, options={"text": text, **options}, model="echo", usage=Usage(1, words, 1 + words), **more)


SAMPLES = Samples(
    answer(TEXT, TEXT, 5),
    errors=tuple(
        Failure(b"", error, options={"fail": how})
        for how, error in {
            "400": RequestRejected,
            "401": AuthenticationFailed,
            "404": UnknownModel,
            "context": ContextTooLong,
            "429": Busy,
            "quota": QuotaExceeded,
            "500": ProviderFailed,
            "network": NetworkFailed,
        }.items()
    ),
    error_in_stream=Failure(b"", Busy, options={"fail": "error"}),
    thinking=answer((Thinking("Hm."), Text("Yes.")), "Yes.", 1, options={"thinking": "Hm."}),
    tool_calls=answer(
        (Text("Yes."), ToolCall("call_1_1", "now", '{"zone": "UTC"}')),
        "Yes.",
        1,
        options={"call": "now", "arguments": {"zone": "UTC"}},
        finish="tool_calls",
    ),
    empty=answer("", "", 0),
    others=(
        answer("Once", "Once", 1, options={"fail": "length"}, finish="length"),
        answer("I", "I", 1, options={"fail": "content_filter"}, finish="content_filter"),
    ),
)
