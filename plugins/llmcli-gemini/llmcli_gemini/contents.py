"""
Our messages as Gemini's `contents`: user and model in turn, each part as Gemini wrote it.

Gemini signs parts with a `thoughtSignature`, which must come back on the part on which it stood; Gemini 3 refuses a
function call without (BerriAI/litellm#16893). `reader` puts what it needs for that into `opaque`:

- a signed call has its signature on itself;
- thinking has `thought`, and its signature if it was signed;
- behind signed text stands `Thinking` without text, that tells how many of the characters before it were signed: the
  pieces of a stream are joined to one text, but a signed part must never be joined with an unsigned one;
- a part of any other kind (code that was executed, a tool that Google called) is kept whole, in the same way.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby

from llmcli.framing import as_text, parse_object
from llmcli.types import Json, Message, Part, Text, Thinking, ToolCall

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
    spoken = (message for message in messages if message.role != "system")
    for role, run in groupby(spoken, key=_speaker):
        parts = _parts(part for message in run for part in message.parts)
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
    function: dict[str, Json] = {
        "name": call.name,
        "args": {"arguments": call.arguments} if arguments is None else arguments,
    }
    if not call.id.startswith(OWN_ID):
        function["id"] = call.id
    signature = as_text(call.opaque.get(SIGNATURE))
    return {"functionCall": function, **({SIGNATURE: signature} if signature else {})}


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
