"""
Reads generated text, whole or token by token, and cuts it where the answer ends.
"""

from collections.abc import Iterator, Mapping, Sequence

from llmcli.errors import LlmError, ProviderFailed
from llmcli.framing import Record, as_object, as_text, parse_json
from llmcli.http_errors import classify_in_stream, describe
from llmcli.provider import Reader
from llmcli.types import Event, Finish, FinishReason, Json, Metadata, TextDelta, Usage

_FINISH: Mapping[str, FinishReason] = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}
# What TGI calls an error, and the status that it has when it is not in a stream.
_STATUSES = {
    "validation": 422,
    "template_error": 422,
    "tool_error": 422,
    "generation": 424,
    "overloaded": 429,
    "incomplete_generation": 500,
}


class StopTexts:
    """
    Cuts a text that comes in pieces at the first of some stop texts, and holds back what may become one. Servers that
    stop at one leave it in the text, and some do not stop.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.met = False

    def feed(self, piece: str) -> str:
        """The part of the text that is now known to belong to the answer."""
        if self.met:
            return ""
        text = self._held + piece
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.met, self._held = True, ""
            return text[: min(places)]
        certain = len(text) - max((_begun(stop, text) for stop in self._stops), default=0)
        self._held = text[certain:]
        return text[:certain]

    def end(self) -> str:
        """The text has ended: what was held back did not become a stop text."""
        held, self._held = self._held, ""
        return held


def _begun(stop: str, text: str) -> int:
    """How many characters of a stop text the end of a text has."""
    return next((length for length in range(len(stop) - 1, 0, -1) if text.endswith(stop[:length])), 0)


class GenerationReader(Reader):
    """
    Reads one answer. `echo` is the prompt, which some servers put in front of it; `spaced` says that the template's
    own space stands there.
    """

    def __init__(self, *, echo: str, stops: Sequence[str], spaced: bool) -> None:
        self._echo = echo
        self._stops = StopTexts(stops)
        self._at_space = spaced
        self._begun = False

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`. The last event repeats the whole text; it says it where no token had any."""
        if record.data.strip() == "[DONE]":  # of other routes, and no end marker of this one
            return
        event = as_object(parse_json(record.data))
        if event.get("error"):
            raise _reported(record.data, as_text(event.get("error_type")))
        token = as_object(event.get("token"))
        if not token.get("special"):
            yield from self._say(as_text(token.get("text")))
        whole = event.get("generated_text")
        if isinstance(whole, str):
            if not self._begun:
                yield from self._say(whole.removeprefix(self._echo))
            yield from self._finish(as_object(event.get("details")))

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`. An object, or a list of one."""
        answer = as_object(document[0] if isinstance(document, list) and document else document)
        text = answer.get("generated_text")
        if not isinstance(text, str):
            raise ProviderFailed("the answer has no generated_text")
        yield from self._say(text.removeprefix(self._echo))
        yield from self._finish(as_object(answer.get("details")))

    def _say(self, text: str) -> Iterator[Event]:
        self._begun = self._begun or bool(text)
        if self._at_space and text:
            self._at_space = False
            text = text.removeprefix(" ")
        if shown := self._stops.feed(text):
            yield TextDelta(shown)

    def _finish(self, details: Mapping[str, Json]) -> Iterator[Event]:
        if rest := self._stops.end():
            yield TextDelta(rest)
        prompt, completion = _count(details, "input_length"), _count(details, "generated_tokens")
        if prompt is not None or completion is not None:
            yield Usage(prompt, completion, None if prompt is None or completion is None else prompt + completion)
        if details.get("seed") is not None:
            yield Metadata({"seed": details["seed"]})
        raw = as_text(details.get("finish_reason"))
        self.complete = True
        yield Finish("stop" if self._stops.met or not raw else _FINISH.get(raw, "other"), raw or None)


def _reported(data: str, error_type: str) -> LlmError:
    """The error that a stream reports; its type stands for the status that it would have elsewhere."""
    return classify_in_stream(describe(data.encode())._replace(status=_STATUSES.get(error_type)))


def _count(details: Mapping[str, Json], name: str) -> int | None:
    count = details.get(name)
    return count if type(count) is int else None
