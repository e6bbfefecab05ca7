"""
Checks of how an adapter behaves: it describes and reads, and does nothing else. Layer 2.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from llmcli.answer import prepared
from llmcli.errors import LlmError
from llmcli.framing import decode_body, parse_json
from llmcli.testing.hearing import hear, hear_whole
from llmcli.testing.samples import Failure
from llmcli.testing.subject import Subject, check, fail
from llmcli.testing.watching import Seen, watched
from llmcli.types import message

Act = Callable[[], object]


def _seen(acts: Sequence[Act]) -> Seen:
    """What an adapter does to the world meanwhile. The first round may load modules."""
    _do(acts)
    with watched() as seen:
        _do(acts)
    return seen


def _do(acts: Sequence[Act]) -> None:
    for act in acts:
        with suppress(LlmError):
            act()


def _everything(subject: Subject) -> list[Act]:
    """All that an adapter can do."""
    acts: list[Act] = [partial(_describe, subject)]
    for sample in subject.samples.answers().values() if subject.samples is not None else ():
        if sample.whole is not None and not subject.native:
            acts.append(partial(hear_whole, subject, sample))
        if sample.stream or subject.in_process:
            acts.append(partial(hear, subject, sample))
    if subject.samples is not None and not subject.native:
        acts += [partial(_fail, subject, failure) for failure in subject.samples.errors]
    return acts


def _describe(subject: Subject) -> None:
    provider = subject.made()
    request = subject.asked(message("system", "Be brief."), message("user", "Hello."))
    provider.check(request)
    if not subject.native:
        provider = subject.http()
        for stream in (False, provider.capabilities.stream):
            prepared(provider, provider.chat_request(request, stream=stream), subject.key)
        provider.health_request()
        if provider.models_request() is not None and subject.samples is not None:
            for page in subject.samples.models:
                provider.read_models(parse_json(decode_body(page)))


def _fail(subject: Subject, failure: Failure) -> None:
    subject.http().read_error(failure.status, failure.received, failure.body)


@check("any")
def nothing_is_printed(subject: Subject) -> None:
    """Nothing is printed: stdout is the answer and nothing else"""
    if printed := _seen(_everything(subject)).printed:
        line = printed[0].splitlines()[0]
        fail(f"the adapter printed {line[:60]!r}: take the print out; a native provider has call.log")


@check("any")
def the_environment_is_not_read(subject: Subject) -> None:
    """Nothing is read from the environment but what is declared, and that by the program"""
    # What the library of a native provider reads while it performs is the library's business.
    acts = _everything(subject) if subject.serve is None else [partial(_describe, subject)]
    if names := _seen(acts).environment:
        fail(
            f"the adapter read {', '.join(list(dict.fromkeys(names))[:5])} from the environment: declare it "
            "(ApiKey.env, base_url_env, ConfigKey.env) and take it from self.config"
        )


@check("http")
def nothing_is_performed(subject: Subject) -> None:
    """No file, no network, no waiting: an adapter describes and reads"""
    if acts := _seen(_everything(subject)).acts:
        fail(f"the adapter called {acts[0]}: describe requests and read bytes, and leave the world to the driver")
