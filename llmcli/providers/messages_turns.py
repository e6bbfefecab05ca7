"""
A conversation as the turns of Anthropic's Messages API. Layer 2, pure: values in, values out.

User and assistant speak in turn. An assistant's turn holds its thinking word for word, in front of what it led to; the
very next turn begins with a result for each of its tool calls (`turns.to_send` has one for each), and only then says
anything else.
"""

import re
from binascii import b2a_base64
from collections.abc import Sequence
from itertools import groupby

from llmcli.framing import parse_object
from llmcli.providers import signed_thinking
from llmcli.types import Attachment, Json, Message, Part, Text, Thinking, ToolCall, ToolResult

_Block = dict[str, Json]

_THINKING = ("thinking", "redacted_thinking")
_NO_PART_OF_AN_ID = r"[^a-zA-Z0-9_-]"


def turns_of(messages: Sequence[Message], model: str = "", *, signed: bool = True) -> list[tuple[str, Json]]:
    """
    The conversation as the API takes it: user and assistant in turn, nothing empty, nothing that ends in thinking.
    Thinking is signed for one `model`, and that of another stays behind. Where the signatures are refused all the same,
    it is sent without (`signed`); but what the model has thought since the last question must go back.

    Neighbours of one role become one turn, which an answer in several messages must be anyway
    (olimorris/codecompanion.nvim#1752), and a blank block of text is left out (anomalyco/opencode#15715).
    """
    turns: list[tuple[str, list[Json]]] = []
    ids = _CallIds()
    asked = signed_thinking.last_question(messages)
    spoken = [(message, signed or at > asked) for at, message in enumerate(messages) if message.role != "system"]
    for role, run in groupby(spoken, key=lambda each: _speaker(each[0])):
        parts = [part for message, thinks in run for part in message.parts if _goes_back(part, model, thinks=thinks)]
        blocks = _assistant(parts, ids) if role == "assistant" else _user(parts, ids)
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, [*blocks]))
    return [(role, _content(blocks)) for role, blocks in turns]


def _speaker(message: Message) -> str:
    """The API knows two: what is not the model's own comes from the user."""
    return "assistant" if message.role == "assistant" else "user"


def _goes_back(part: Part, model: str, *, thinks: bool) -> bool:
    """Whether a part may be sent to this model; whose thinking it is may not be known."""
    return not isinstance(part, Thinking) or (thinks and signed_thinking.is_of(part, model))


def _content(blocks: list[Json]) -> Json:
    """Text alone goes as a string, the shape that every server of this protocol takes."""
    match blocks:
        case [{"type": "text", "text": str(text)}]:
            return text
    return blocks


def _assistant(parts: Sequence[Part], ids: "_CallIds") -> list[_Block]:
    """
    What the model said. Thinking goes back only if nothing of it is missing: signed, and followed by what it led to
    (`The final block in an assistant message cannot be thinking`, forgecode#2107).
    """
    blocks = [block for part in parts if (block := _said(part, ids)) is not None]
    while blocks and blocks[-1]["type"] in _THINKING:
        blocks.pop()
    return blocks


def _said(part: Part, ids: "_CallIds") -> _Block | None:
    match part:
        case ToolCall(id, name):
            return {"type": "tool_use", "id": ids.of_call(id), "name": name, "input": _input(part)}
        case Thinking(_, {"type": "redacted_thinking"}):
            return {name: value for name, value in part.opaque.items() if name != signed_thinking.MODEL}
        case Thinking(text, {"signature": signature}):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case Text():
            return _text(part)
    return None  # thinking without a signature comes from elsewhere, and the API refuses it


def _user(parts: Sequence[Part], ids: "_CallIds") -> list[_Block]:
    """What came to the model: the results of its calls first."""
    results = [_result(ids.of_result(part.id), part) for part in parts if isinstance(part, ToolResult)]
    return results + [block for part in parts if (block := _shown(part)) is not None]


def _shown(part: Part) -> _Block | None:
    match part:
        case Text():
            return _text(part)
        case Attachment():
            return _attachment(part)
    return None


def _text(part: Text) -> _Block | None:
    return {"type": "text", "text": part.text} if part.text.strip() else None


def _input(call: ToolCall) -> Json:
    """The arguments as an object; what is none goes back as the documentation of tool streaming advises, wrapped."""
    arguments = parse_object(call.arguments)
    return {"INVALID_JSON": call.arguments} if arguments is None else arguments


def _result(call_id: str, result: ToolResult) -> _Block:
    """A result without content is one, except of what failed (`content cannot be empty if is_error is true`)."""
    content = result.content if result.content.strip() else "it failed without a word" if result.failed else ""
    block: _Block = {"type": "tool_result", "tool_use_id": call_id}
    if content:
        block["content"] = content
    if result.failed:
        block["is_error"] = True
    return block


def _attachment(part: Attachment) -> _Block:
    source: Json = {"type": "url", "url": part.url}
    if not part.url:
        source = {
            "type": "base64",
            "media_type": part.media_type,
            "data": b2a_base64(part.data, newline=False).decode(),
        }
    if part.media_type.startswith("image/"):
        return {"type": "image", "source": source}
    return {"type": "document", "source": source} | ({"title": part.name} if part.name else {})


class _CallIds:
    """
    The ids of tool calls as they are sent: of the letters that the API takes, and unique in the conversation, though
    some services count from 0 in each answer. A result has the id that its call was sent with.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._open: list[tuple[str, str]] = []  # the id of each call that has no result yet, and as it was sent

    def of_call(self, call_id: str) -> str:
        """An id for the next call."""
        fitting = sent = self._fitting(call_id)
        while sent in self._used:
            sent = f"{fitting}_{len(self._used)}"
            fitting += "_"
        self._used.add(sent)
        self._open.append((call_id, sent))
        return sent

    def of_result(self, call_id: str) -> str:
        """The id of the call that this is the result of: the first of that id that has none."""
        for known, sent in self._open:
            if known == call_id:
                self._open.remove((known, sent))
                return sent
        return self._fitting(call_id)

    def _fitting(self, call_id: str) -> str:
        return re.sub(_NO_PART_OF_AN_ID, "_", call_id) or "call"
