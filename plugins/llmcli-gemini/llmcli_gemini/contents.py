"""
Our messages as Gemini's `contents`: user and model in turn, each part as Gemini wrote it.

Gemini signs parts with a `thoughtSignature`, which must come back on the part on which it stood; Gemini 3 refuses a
function call without (BerriAI/litellm#16893). `reader` puts what it needs for that into `opaque`:

- a signed call has its signature on itself;
- thinking has `thought`, and its signature if it was signed;
- behind signed text stands `Thinking` without text, that tells how many of the characters before it were signed: the
  pieces of a stream are joined to one text, but a signed part must never be joined with an unsigned one;
- a part of any other kind (code that was executed, a tool that Google called) is kept whole, in the same way.

The turn behind a function call begins with a response to each call of it, neither more nor less
(lastmile-ai/mcp-agent#281).
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from llmcli.framing import as_text, parse_object
from llmcli.types import Attachment, Json, Message, Part, Text, Thinking, ToolCall, ToolResult

SIGNATURE = "thoughtSignature"
OWN_ID = "gemini_call_"  # the beginning of the ids that we give to calls that came without

# What Google documents for calls that no Gemini made, which therefore nobody signed (pipecat-ai/pipecat#5809).
_PLACEHOLDER = "skip_thought_signature_validator"


def turns(messages: Iterable[Message], *, signed: bool = True) -> list[tuple[str, list[dict[str, Json]]]]:
    """
    The roles of the conversation and what they say, with or without Gemini's signatures. Neighbours of one role become
    one turn, with all their parts side by side; what says nothing is left out.
    """
    taken: list[tuple[str, list[dict[str, Json]]]] = []
    calls: list[ToolCall] = []  # of the turn before
    spoken = (message for message in messages if message.role != "system")
    for role, run in groupby(spoken, key=_speaker):
        said = [part for message in run for part in message.parts]
        parts = [*_responses(calls, said), *_parts(said)]
        calls = [part for part in said if isinstance(part, ToolCall)]
        if parts := parts if signed else _without_signatures(parts):
            if taken and taken[-1][0] == role:
                taken[-1][1].extend(parts)
            else:
                taken.append((role, parts))
    return taken


def _speaker(message: Message) -> str:
    """The API knows two: what is not the model's own comes from the user."""
    return "model" if message.role == "assistant" else "user"


def vouched(parts: Iterable[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """
    The parts of one turn with a signature on the first call, which is the one that must have it: of parallel calls
    Gemini signs no other.
    """
    signed = [dict(part) for part in parts]
    first = next((part for part in signed if "functionCall" in part), {})
    first.setdefault(SIGNATURE, _PLACEHOLDER)
    return signed


def _parts(parts: Iterable[Part]) -> list[dict[str, Json]]:
    """The parts as Gemini wrote them. Thinking of other providers is left out: it is nothing that Gemini knows."""
    written: list[dict[str, Json]] = []
    for part in parts:
        match part:
            case Text(text) if text:
                written.append({"text": text})
            case ToolCall():
                written.append(_call(part))
            case Attachment():
                written.append(_attachment(part))
            case Thinking(_, {"part": dict(whole)}):
                written.append(whole)
            case Thinking(text, {"thought": True}):
                written.append({"text": text, **part.opaque})
            case Thinking(_, {"thoughtSignature": str(signature), "characters": int(characters)}):
                _sign(written, signature, characters)
    return written


def _call(call: ToolCall) -> dict[str, Json]:
    """The arguments as the object that the API requires; what is none goes back inside one."""
    arguments = parse_object(call.arguments)
    function = _named(call, "args", {"arguments": call.arguments} if arguments is None else arguments)
    signature = as_text(call.opaque.get(SIGNATURE))
    return {"functionCall": function, **({SIGNATURE: signature} if signature else {})}


def _named(call: ToolCall, field: str, value: dict[str, Json]) -> dict[str, Json]:
    """A call, or the response to it, with the id that Gemini gave it, if it gave one."""
    function: dict[str, Json] = {"name": call.name, field: value}
    return function if call.id.startswith(OWN_ID) else {**function, "id": call.id}


def _responses(calls: Sequence[ToolCall], said: Sequence[Part]) -> list[dict[str, Json]]:
    """The responses to the calls, in their order; two calls may have one id."""
    results = [part for part in said if isinstance(part, ToolResult)]
    written = []
    for call in calls:
        result = next((each for each in results if each.id == call.id), None)
        if result is not None:
            results.remove(result)
            written.append(_response(call, result))
    return written + [_response(ToolCall(result.id, result.name), result) for result in results]


def _response(call: ToolCall, result: ToolResult) -> dict[str, Json]:
    """What came of a call stays one text: as an object, its own keys could be taken for Gemini's (vercel/ai#14369)."""
    said: dict[str, Json] = {"error" if result.failed else "output": result.content}
    return {"functionResponse": _named(call, "response", said)}


def _attachment(part: Attachment) -> dict[str, Json]:
    if part.url:
        return {"fileData": {"mimeType": part.media_type, "fileUri": part.url}}
    return {"inlineData": {"mimeType": part.media_type, "data": b64encode(part.data).decode()}}


def _sign(written: list[dict[str, Json]], signature: str, characters: int) -> None:
    """Put the signature on the last characters of the text before it, as a part of their own."""
    text = as_text(written.pop()["text"]) if written and written[-1].keys() == {"text"} else ""
    unsigned = text[: max(0, len(text) - characters)]
    if unsigned:
        written.append({"text": unsigned})
    written.append({"text": text[len(unsigned) :], SIGNATURE: signature})


def _without_signatures(parts: Iterable[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """The parts without what Gemini signed them with, and without those that held nothing else."""
    bare = ({name: value for name, value in part.items() if name != SIGNATURE} for part in parts)
    return [part for part in bare if part and part != {"text": ""}]
