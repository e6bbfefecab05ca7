"""
Thinking that a service has signed: whose it is, and what is to be done where a signature is refused. Layer 2, pure.

A signature holds for the model that was asked, and some services check it. What a model has thought since the last
question must go back whatever becomes of older signatures: without it the service takes no result of a tool.
"""

from collections.abc import Sequence

from llmcli.types import Message, Thinking

MODEL = "model"  # among the opaque data of thinking: who was asked, and so whose it is
REFUSED = r"(?i)invalid `?signature|signature\b.*\b(?:invalid|not valid|mismatch)"  # an error that says so


def is_of(thinking: Thinking, model: str) -> bool:
    """Whether it is the thinking of this model; whose it is may not be known."""
    return thinking.opaque.get(MODEL, model) == model


def last_question(messages: Sequence[Message]) -> int:
    """Where in a conversation the last question of the user stands."""
    return max((at for at, message in enumerate(messages) if message.role == "user"), default=0)
