"""
Checks of how an adapter behaves: it describes and reads, and does nothing else. Layer 2.
"""

from collections.abc import Callable
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


def _seen(subject: Subject) -> Seen:
    """What an adapter does to the world while it does all that it can. The first round may load modules."""
    _do_everything(subject)
    with watched() as seen:
        _do_everything(subject)
    return seen


def _do_everything(subject: Subject) -> None:
    acts: list[Callable[[], object]] = [partial(_describe, subject)]
    if subject.samples is not None:
        for sample in subject.samples.answers().values():
            if sample.whole is not None and not subject.native:
                acts.append(partial(hear_whole, subject, sample))
            if (sample.stream and not subject.native) or subject.in_process:
                acts.append(partial(hear, subject, sample))
        if not subject.native:
            acts += [partial(_fail, subject, failure) for failure in subject.samples.errors]
    for act in acts:
        with suppress(LlmError):
            act()


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
    subject.http().read_error(failure.status, failure.headers, failure.body)


@check("any")
def nothing_is_printed(subject: Subject) -> None:
    """Nothing is printed: stdout is the answer and nothing else"""
    if printed := _seen(subject).printed:
        fail(f"the adapter printed {printed[0][:60]!r}: take the print out; call.log is for a native provider")


@check("any")
def the_environment_is_not_read(subject: Subject) -> None:
    """Nothing is read from the environment but what is declared, and that by the program"""
    if names := _seen(subject).environment:
        fail(
            f"the adapter read {', '.join(list(dict.fromkeys(names))[:5])} from the environment: declare it "
            "(ApiKey.env, base_url_env, ConfigKey.env) and take it from self.config"
        )


@check("http")
def nothing_is_performed(subject: Subject) -> None:
    """No file, no network, no waiting: an adapter describes and reads"""
    if acts := _seen(subject).acts:
        fail(f"the adapter called {acts[0]}: describe requests and read bytes, and leave the world to the driver")
