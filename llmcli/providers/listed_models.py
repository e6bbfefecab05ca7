"""
An entry of a list of models, whatever its service calls the fields. Layer 2; for any provider.

Only the id is certain, and not even what it is called (maximhq/bifrost#6711): everything else is taken where it is of
the right type, and is not there otherwise.
"""

from collections.abc import Iterable, Iterator, Mapping

from llmcli.framing import as_object, as_text
from llmcli.types import Json, Model

_CONTEXT_LENGTHS = ("context_length", "context_window", "max_model_len", "max_context_length", "context_size",
                    "max_input_tokens", "meta.n_ctx", "meta.n_ctx_train", "details.context_length",
                    "top_provider.context_length")  # fmt: skip
_MOST_OUTPUT = ("max_output_tokens", "max_completion_tokens", "top_provider.max_completion_tokens")
_LARGEST = 2**63  # no count and no time is larger
_MILLISECONDS = 10**11  # a time in seconds that is larger lies in the year 5138

# The services' words for what we have a word for.
_OUR_WORDS: Mapping[str, str] = {
    "completion": "chat",
    "completion_chat": "chat",
    "chat_completion": "chat",
    "function_calling": "tools",
    "image_in": "vision",
    "image_input": "vision",
    "json_schema": "schema",
    "reasoning": "thinking",
    "structured_output": "schema",
    "structured_outputs": "schema",
    "tool_choice": "tools",
}
_OURS = frozenset({"chat", "thinking", "vision", "tools", "schema"})


def model_of(entry: object, *, prefix: str = "") -> Model | None:
    """
    The model of one entry: an object, or a name alone; `None` for anything else. `prefix` is what the service puts in
    front of an id and does not want back.
    """
    fields = {"id": entry} if isinstance(entry, str) else as_object(entry)
    names = [name for key in ("id", "name", "model") if (name := as_text(fields.get(key)))]
    if not names:
        return None
    shown = as_text(fields.get("display_name")) or as_text(fields.get("name"))
    offers = [fields, *map(as_object, _items(fields.get("providers")))]  # a router says it of each that it leads to
    return Model(
        names[0].removeprefix(prefix),
        shown if shown and shown != names[0] else None,
        max((length for offer in offers if (length := whole_number(offer, *_CONTEXT_LENGTHS))), default=None),
        whole_number(fields, *_MOST_OUTPUT, *(["max_tokens"] if "max_input_tokens" in fields else [])),  # Anthropic
        moment(fields.get("created")) or moment(fields.get("created_at")),
        capabilities(word for offer in offers for word in _said_by(offer)),
    )


def models_of(entries: object, *, prefix: str = "") -> tuple[Model, ...]:
    """The models of a list, each once; of what is no list, none."""
    found: dict[str, Model] = {}
    for entry in _items(entries):
        model = model_of(entry, prefix=prefix)
        if model is not None:
            found.setdefault(model.id, model)
    return tuple(found.values())


def whole_number(fields: Mapping[str, Json], *names: str) -> int | None:
    """
    The first of the fields that holds a number above zero, which may be written as a float or in digits; `a.b` is the
    field `b` of the object `a`.
    """
    for name in names:
        holder, dot, inner = name.partition(".")
        value = fields.get(holder)
        number = _whole(as_object(value).get(inner) if dot else value)
        if number:
            return number
    return None


def moment(value: object) -> int | None:
    """A time in seconds since 1970: given so, in milliseconds, or as ISO 8601."""
    from datetime import UTC, datetime

    number = _whole(value)
    if number:
        return number // 1000 if number >= _MILLISECONDS else number
    try:
        said = datetime.fromisoformat(as_text(value))
        return int((said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def capabilities(words: Iterable[str]) -> tuple[str, ...]:
    """What a model can do, each once, in our words where we have one."""
    return tuple(dict.fromkeys(_OUR_WORDS.get(word, word) for word in words))


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value < _LARGEST else None


def _said_by(fields: Mapping[str, Json]) -> Iterator[str]:
    """The words for what a model can do, wherever they stand; of the names of parameters only those that mean it."""
    if fields.get("type") == "chat":
        yield "chat"
    said = fields.get("capabilities")
    if isinstance(said, dict):
        yield from (name for name, has in said.items() if has is True or as_object(has).get("supported") is True)
    yield from _words(said)
    parameters = [*_words(fields.get("supported_parameters")), *_supports(fields)]
    yield from (word for word in parameters if _OUR_WORDS.get(word, word) in _OURS)
    takes = as_object(fields.get("architecture"))
    modalities = _words(takes.get("input_modalities")) or _words(fields.get("input_modalities"))
    if "image" in (modalities or as_text(takes.get("modality")).partition("->")[0].split("+")):
        yield "vision"


def _supports(fields: Mapping[str, Json]) -> Iterator[str]:
    said = (name for name, has in fields.items() if has is True)
    return (name.removeprefix("supports_") for name in said if name.startswith("supports_"))


def _words(value: Json) -> list[str]:
    return [word for word in _items(value) if isinstance(word, str) and word]


def _items(value: object) -> list[Json]:
    return value if isinstance(value, list) else []
