"""
Checks of what a provider's class declares: it is what the program shows, and what it holds. Layer 2.
"""

import re
from contextlib import ExitStack

from llmcli.answer import native_call
from llmcli.deadlines import Deadlines
from llmcli.errors import LlmError
from llmcli.framing import decode_body, parse_json
from llmcli.provider import ApiKey, Capabilities, ConfigKey, HTTPProvider, NativeProvider, Option, Provider, Setting
from llmcli.testing.hearing import call, crashed
from llmcli.testing.subject import Subject, check, fail, skip
from llmcli.types import ChatRequest, ModelPage


@check("any")
def the_class_is_a_provider(subject: Subject) -> None:
    """The class is a provider of this version of the contract, with an id and a name"""
    cls = subject.provider
    if not issubclass(cls, HTTPProvider | NativeProvider):
        fail("inherit from HTTPProvider or NativeProvider")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", cls.id):
        fail(f"id = {cls.id!r} should be lower-case letters, digits and single hyphens")
    if not cls.name.strip():
        fail("name is empty: give the service's own name")
    if cls.api_version not in range(1, Provider.api_version + 1):
        fail(f"api_version = {cls.api_version!r} should be {Provider.api_version}, the version of the contract")
    missing = sorted(getattr(cls, "__abstractmethods__", ())) + [
        name for name in _needed(cls) if getattr(getattr(cls, name), "__isabstractmethod__", False)
    ]
    if missing:
        fail(f"{', '.join(missing)} must be written")


def _needed(cls: type[Provider]) -> tuple[str, ...]:
    return ("stream",) if issubclass(cls, NativeProvider) else ("chat_request", "reader")


@check("any")
def declarations_are_well_formed(subject: Subject) -> None:
    """What is declared has the form in which it is shown"""
    provider = subject.made()
    forms: list[tuple[str, object, type]] = [
        ("capabilities", provider.capabilities, Capabilities),
        ("api_key", provider.api_key, ApiKey),
        *((f"attachments[{name!r}]", most, int) for name, most in provider.attachments.items()),
        *((f"known_models[{at}]", name, str) for at, name in enumerate(provider.known_models)),
        *((f"quirks[{at}]", quirk, str) for at, quirk in enumerate(provider.quirks)),
        *((f"settings[{name!r}]", setting, Setting) for name, setting in provider.settings.items()),
        *((f"options[{name!r}]", option, Option) for name, option in (provider.options or {}).items()),
        *((f"config_keys[{name!r}]", key, ConfigKey) for name, key in provider.config_keys.items()),
    ]
    for what, value, form in forms:
        if not isinstance(value, form):
            fail(f"{what} should be a {form.__name__}, not {value!r}")
    for kind in provider.attachments:
        if not re.fullmatch(r"[a-z]+/[\w.+*-]+", kind):
            fail(f"attachments[{kind!r}]: {kind!r} should be a media type, such as image/png or image/*")
    for what in ("known_models", "quirks"):
        if isinstance(getattr(provider, what), str):
            fail(f"{what} is a text: a tuple of one has a comma at its end")
    if provider.api_key.required and not provider.api_key.hint:
        fail("api_key is required and has no hint: say where a person gets one")
    url = subject.provider.default_base_url
    if url is not None and (not re.match(r"[a-z]+://", url) or url.endswith("/")):
        fail(f"default_base_url = {url!r} should be a URL with its scheme and without a slash at its end")


@check("any")
def what_is_declared_is_shown(subject: Subject) -> None:
    """What the class declares, which is shown, is what its providers hold to"""
    provider = subject.made()
    for name in ("api_key", "settings", "options", "config_keys", "attachments", "known_models", "quirks"):
        if getattr(provider, name) != getattr(subject.provider, name):
            fail(f"{name} is changed when the provider is made, but that of the class is shown: declare it there")


@check("any")
def declared_settings_are_settings(subject: Subject) -> None:
    """Each declared setting is one that a request has, with a range that is one"""
    for name, setting in subject.made().settings.items():
        if name not in ChatRequest._fields:
            fail(f"settings[{name!r}]: a request has no such setting; declare it as an option")
        if setting.min is not None and setting.max is not None and setting.min > setting.max:
            fail(f"settings[{name!r}]: min {setting.min} is above max {setting.max}")


@check("any")
def a_setting_out_of_range_is_refused(subject: Subject) -> None:
    """A setting out of its declared range is refused before anything is sent"""
    provider = subject.made()
    for name, setting in provider.settings.items():
        if name not in ChatRequest._fields:
            continue
        for end, step in ((setting.min, -1), (setting.max, 1)):
            if end is not None and _takes(provider, subject.asked(**{name: end + step})):
                fail(f"{name} = {end + step:g} is out of the declared range and was not refused: "
                     "call super().check(request)")  # fmt: skip


def _takes(provider: Provider, request: ChatRequest) -> bool:
    try:
        provider.check(request)
    except LlmError:
        return False
    return True


@check("any")
def an_unknown_option_is_refused(subject: Subject) -> None:
    """An option that is not among the declared ones is refused"""
    provider = subject.made()
    if provider.options is None:
        skip("the provider does not declare its options")
    if _takes(provider, subject.asked(options={"kit_unknown": "x"})):
        fail("--option kit_unknown=x was not refused, though `options` are declared: call super().check(request)")


@check("any")
def an_ordinary_request_is_taken(subject: Subject) -> None:
    """An ordinary question is not refused"""
    try:
        subject.made().check(subject.asked())
    except LlmError as exc:
        fail(f"check() refuses a plain question: {exc.message}")
    except Exception as exc:
        crashed(exc)


@check("any")
def the_default_model_is_known(subject: Subject) -> None:
    """The default model is among the models that the provider knows"""
    provider = subject.made()
    known, default = provider.known_models, subject.provider.default_model
    if default is not None and known and default not in known:
        fail(f"default_model = {default!r} is not among known_models: {', '.join(known)}; put it there")
    configured = subject.provider(provider.config._replace(default_model="kit-model"))
    if configured.default_model != "kit-model":
        fail("default_model of the configuration is ignored: call super().__init__(config)")


@check("http")
def models_are_listed(subject: Subject) -> None:
    """The models are listed, all pages of them"""
    provider = subject.http()
    if provider.models_request() is None:
        skip("the API does not list its models")
    given = subject.given
    if not given.models:
        fail("models_request() lists models: give Samples.models and model_ids, or return None")
    cursor, ids = None, []
    for number, page in enumerate(given.models):
        if number and provider.models_request(cursor) == provider.models_request():
            fail(f"models_request({cursor!r}) asks for the first page again: put the cursor into it")
        found = _page(provider, page)
        ids += [model.id for model in found.models]
        cursor = found.next
        last = number == len(given.models) - 1
        if last != (cursor is None):
            fail(f"ModelPage.next of page {number + 1} of {len(given.models)} is {cursor!r}: "
                 + ("there is no other page" if last else "it should be the cursor of the next"))  # fmt: skip
    if tuple(ids) != given.model_ids:
        fail(f"read_models() should find {', '.join(given.model_ids)}; it found {', '.join(ids) or 'none'}")


def _page(provider: HTTPProvider, page: bytes) -> ModelPage:
    try:
        return provider.read_models(parse_json(decode_body(page)))
    except LlmError as exc:
        fail(f"read_models() refused the sample {decode_body(page)[:60]}: {exc.message}")
    except Exception as exc:
        crashed(exc)


@check("native")
def the_models_are_told(subject: Subject) -> None:
    """The models are told, each with its id"""
    given = subject.samples
    with ExitStack() as stack:
        provider = subject.made()
        if subject.serve is not None:
            pages = given.models if given is not None else ()
            if not pages:
                skip("Samples.models is not given")
            provider = subject.made(stack.enter_context(subject.serve(pages, stay=False)).base_url)
        if not isinstance(provider, NativeProvider):
            skip("the provider is spoken to over HTTP")
        connection = call(subject)
        deadlines = Deadlines(connection.timeouts, started=connection.started)
        ids = [getattr(model, "id", None) for model in provider.models(native_call(
            provider, connection, deadlines, stream=False))]  # fmt: skip
    if not all(isinstance(name, str) and name for name in ids):
        fail(f"models() should yield Model(id), but yields {ids}")
    if given is not None and given.model_ids and tuple(ids) != given.model_ids:
        fail(f"models() should yield {', '.join(given.model_ids)}, but yields {ids}")
