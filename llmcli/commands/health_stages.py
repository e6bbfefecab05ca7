"""
One provider, examined stage by stage: how far one gets, how long that takes, what is wrong and what to do. Layer 3.

`check` does it. A `Checkup` knows how far it is: it is the log of the transport, which tells when a name is resolved,
a connection made and a certificate seen, and whoever shows it may read it at any time.
"""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from llmcli import registry
from llmcli.answer import Call, answer, native_call, perform
from llmcli.commands.models import Listing, listing_of
from llmcli.commands.setup import Ready, brief_call, make_ready
from llmcli.config import Config, nearest, provider_setup
from llmcli.deadlines import Deadlines
from llmcli.errors import (
    ConfigurationError,
    LlmError,
    NetworkFailed,
    RequestRejected,
    TimedOut,
    UnknownModel,
    UsageError,
)
from llmcli.output import one_line
from llmcli.provider import HTTPProvider, NativeProvider, Provider
from llmcli.types import ChatRequest, HttpRequest, TextDelta, ThinkingDelta, ToolCall, ToolCallDelta, message
from llmcli.world import World

STAGES = ("configuration", "key", "proxy", "dns", "connect", "tls", "http", "auth", "model", "chat")
DAYS = 14  # a certificate that ends sooner is worth a warning
_TOKENS = 16  # of the answer to a chat; some APIs refuse less
_NETWORK = ("proxy", "dns", "connect", "tls", "http")

# What to do about a failure that does not say so itself.
_HINTS = {
    "configuration": "`llmcli providers show {id}` shows all that is known of it",
    "key": "`llmcli providers login {id}` asks for a key and tries it",
    "proxy": "check the proxy; NO_PROXY=HOST goes to a host without it",
    "dns": "check the name in its base URL, and the network",
    "connect": "check its base URL and the network; a firewall may want a proxy (HTTPS_PROXY)",
    "tls": "check its base URL and the clock here; only those who run the server can change its certificate",
    "http": "check its base URL (`llmcli providers show {id}`); if that is right the service has a problem of its own",
    "auth": "`llmcli providers login {id}` asks for a key and tries it",
    "model": "`llmcli models list {id}` lists what there is, `llmcli providers use {id}/MODEL` chooses one",
    "chat": "`llmcli chat -v -m {id} hi` shows what happens",
}
_SLOW = "it is slow or does not answer; --timeout SECONDS gives it more time"


class Limit(NamedTuple):
    """When everything is to be done (monotonic; `None`: whenever), and the seconds that there were for it."""

    at: float | None
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the time is over, or as good as that."""
        return self.at is not None and time.monotonic() > self.at - 0.02


class Stage(NamedTuple):
    """`ok` is `None` for one that does not apply or was not reached; `detail` says why, or what was found."""

    stage: str
    ok: bool | None
    seconds: float | None = None
    detail: str | None = None


class Checkup:
    """
    How far one provider is. `changed` is called after each change, `running` is the stage that is being done. Once
    `done` nothing changes any more, whatever a thread that is late may say.
    """

    def __init__(self, provider_id: str, *, chat: bool, changed: Callable[[], None] = lambda: None) -> None:
        self.id = provider_id
        self.names = STAGES if chat else STAGES[:-1]
        self.stages: dict[str, Stage] = {}
        self.running = "configuration"
        self.error: LlmError | None = None
        self.crash: BaseException | None = None
        self.done = False
        self.reachable = False
        self.model: str | None = None
        self.days: int | None = None
        self.seconds = 0.0
        self._ttft: float | None = None
        self._changed = changed
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._stage_started = self._started
        self._connected = self._started
        self._http_seconds: float | None = None
        self._https = False
        self._proxy: str | None = None

    @property
    def failed(self) -> Stage | None:
        """The stage that failed."""
        return next((stage for stage in self.stages.values() if stage.ok is False), None)

    @property
    def warning(self) -> str | None:
        """What is worth a word although all is well."""
        if self.days is None or self.days >= DAYS:
            return None
        return f"the certificate of {self.id} ends in {self.days} day{'' if self.days == 1 else 's'}"

    def row(self) -> dict[str, Any]:
        """All of it, as `--json` prints it."""
        error, auth = self.error, self.stages.get("auth")
        row: dict[str, Any] = {
            "id": self.id,
            "ok": error is None,
            "reachable": error is None or self.reachable,
            "key_accepted": auth.ok if auth else None,
            "seconds": round(self.seconds, 3),
            "problem": error.message if error else None,
            "code": error.status if error else None,
            "name": error.name if error else None,
            "hint": error.hint if error else None,
            "model": self.model,
            "stages": [self.stages.get(name, Stage(name, None, None, "not reached"))._asdict() for name in self.names],
        }
        return row | ({"ttft": self._ttft} if "chat" in self.names else {})

    # --- what the one who checks says ---

    def start(self) -> None:
        """Now, and not before, it is examined."""
        self._started = time.monotonic()
        self.begin("configuration")

    def passed(self, stage: str, detail: str | None = None, *, seconds: float | None = None) -> None:
        """A stage is done, and the next begins."""
        took = time.monotonic() - self._stage_started if seconds is None else seconds
        self._set(Stage(stage, ok=True, seconds=round(took, 4), detail=detail))

    def skipped(self, stage: str, why: str) -> None:
        """A stage that does not apply; one that has its result keeps it."""
        if stage not in self.stages:
            self._set(Stage(stage, None, None, why))

    def answered(self, seconds: float) -> None:
        """The first token of a chat is here."""
        self._ttft = round(seconds, 3)

    def fail(self, error: LlmError, limit: Limit) -> None:
        """It ends here: at the stage that the error belongs to."""
        stage = self._stage_of(error)
        if isinstance(error, TimedOut):
            over = f"not done in {limit.seconds:g} s" if limit.passed else error.message
            error = TimedOut(over, hint=_SLOW, provider=error.provider)
        error.provider = error.provider or self.id
        hint = _HINTS[stage].format(id=self.id)
        if stage == "auth" and error.hint:  # where the key came from, without what only a chat can do about it
            error.hint = f"{error.hint.partition('; --api-key-file')[0]}; {hint}"
        error.hint = error.hint or hint
        with self._lock:
            if self.done:
                return
            if stage in ("auth", "model") and "http" not in self.stages:
                self.stages["http"] = Stage("http", ok=True, seconds=self._http_seconds, detail=None)
            took = round(time.monotonic() - self._stage_started, 4)
            self.stages[stage] = Stage(stage, ok=False, seconds=took, detail=error.message)
            self.error = error
        self.finish()

    def finish(self) -> None:
        """Nothing more is to come."""
        with self._lock:
            if not self.done:
                self.seconds = time.monotonic() - self._started
                self.done = True
        self._changed()

    def begin(self, stage: str) -> None:
        """A stage begins."""
        self.running = stage
        self._stage_started = time.monotonic()
        self._changed()

    # --- what the transport says ---

    def __call__(self, event: str, /, **fields: Any) -> None:
        """The log of the first connection; what comes after it is no news."""
        if "http" in self.stages:
            return
        told = getattr(self, f"_on_{event}", None)
        if told is not None:
            told(**fields)

    def heard(self, event: str, /, **fields: object) -> None:
        """The log of what stands above the transport: a native provider tells of its answers what it likes."""
        self.reachable = self.reachable or event == "status"

    def _on_request(self, url: str, proxy: str | None, **rest: object) -> None:
        self._https, self._proxy = url.startswith(("https:", "wss:")), proxy
        if proxy is None:
            self.skipped("proxy", "none")
        if proxy is None and _is_address(urlsplit(url).hostname or ""):
            self.skipped("dns", "it is an address")
        self.begin("proxy" if proxy else "connect" if "dns" in self.stages else "dns")

    def _on_resolved(self, addresses: list[str], seconds: float, **rest: object) -> None:
        self.passed("dns", " ".join(addresses), seconds=seconds)
        self._next("connect")

    def _on_tcp(self, address: str, seconds: float) -> None:
        self.skipped("dns", "it is an address")
        self.passed("connect", address, seconds=seconds)
        self._next("tls" if self._https else "http")

    def _on_tunnel(self, proxy: str, seconds: float) -> None:
        self.passed("proxy", proxy, seconds=seconds)
        self.begin("tls")

    def _on_tls(self, version: str | None, days: int | None, seconds: float, **rest: object) -> None:
        if self.running != "tls":  # that of a proxy
            return
        self.days = days
        left = "" if days is None else f", the certificate holds {days} more days"
        self.passed("tls", f"{version}{left}", seconds=seconds)
        self.begin("http")

    def _on_connected(self, seconds: float) -> None:
        self.skipped("tls", "it is plain http")
        if self._proxy is not None and "proxy" not in self.stages:
            self.passed("proxy", self._proxy, seconds=seconds)
        self._connected = time.monotonic()
        self.begin("http")

    def _on_response(self, status: int, **rest: object) -> None:
        if status == 407 and self._proxy is not None:  # a proxy's refusal is not the server's
            self.stages.pop("proxy", None)
            self.running = "proxy"
            return
        self.reachable = True
        self._http_seconds = round(time.monotonic() - self._connected, 4)

    def _next(self, stage: str) -> None:
        """Behind a proxy the stage is the proxy's until the way is open."""
        if self.running != "proxy":
            self.begin(stage)

    def http_passed(self, detail: str | None = None) -> None:
        """The service has answered as it should."""
        self.passed("http", detail, seconds=self._http_seconds)

    def _set(self, stage: Stage) -> None:
        with self._lock:
            if not self.done:
                self.stages[stage.stage] = stage
        self._changed()

    def _stage_of(self, error: LlmError) -> str:
        """Where an error belongs, which is not always where it came up."""
        if error.status == 4:
            return "key" if self.running in ("configuration", "key") else "auth"
        if isinstance(error, ConfigurationError | UsageError):
            return "configuration"
        if isinstance(error, UnknownModel):
            return "model"
        return self.running


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


# --- the examination ------------------------------------------------------------------------------


def check(checkup: Checkup, config: Config, world: World, *, chat: bool, limit: Limit) -> None:
    """Examine one provider to the end, or to what is wrong with it. Raises nothing but what is a bug of ours."""
    checkup.start()
    try:
        ready = _set_up(checkup, config, world, limit)
        call = _call(ready, world, checkup, limit)
        _ask(ready, call, checkup)
        if chat:
            _chat(ready, _call(ready, world, checkup, limit), checkup)
    except LlmError as exc:
        checkup.fail(exc, limit)
    except BaseException as exc:
        checkup.crash = exc
        checkup.finish()
    else:
        checkup.finish()


def _set_up(checkup: Checkup, config: Config, world: World, limit: Limit) -> Ready:
    """Configuration and key."""
    model = _chosen_model(checkup.id, config)
    cls = registry.load(checkup.id, config, world.env, world.fence_stdout)
    setup = provider_setup(config, checkup.id, cls, world.env, model=model)
    checkup.passed("configuration", setup.path or None)
    checkup.begin("key")
    left = 30.0 if limit.at is None else max(0.1, limit.at - time.monotonic())
    ready = make_ready(checkup.id, config, world, model=model, command_seconds=left)
    if isinstance(ready.provider, HTTPProvider):
        ready.provider.url("")
    if ready.secret is not None:
        checkup.passed("key", ready.secret.source)
    else:
        checkup.skipped("key", "none is needed")
    checkup.model = model or ready.provider.default_model
    return ready


def _chosen_model(provider_id: str, config: Config) -> str | None:
    """The model that is the user's default, where it is one of this provider."""
    try:
        target = registry.resolve(None, None, config)
    except LlmError:
        return None
    return target.model if target.provider == provider_id else None


def _call(ready: Ready, world: World, checkup: Checkup, limit: Limit) -> Call:
    if limit.at is None:
        endless = brief_call(ready, world, seconds=limit.seconds, log=checkup)
        return endless._replace(timeouts=ready.setup.timeouts, log=checkup.heard)
    left = limit.at - time.monotonic()
    if left <= 0:
        raise TimedOut("no time was left")
    return brief_call(ready, world, seconds=left, log=checkup)._replace(log=checkup.heard)


def _ask(ready: Ready, call: Call, checkup: Checkup) -> None:
    """Ask the cheapest questions that tell something: its own check of health, and its list of models."""
    provider = ready.provider
    if isinstance(provider, NativeProvider):
        _ask_natively(provider, call, checkup)
        return
    if not isinstance(provider, HTTPProvider):
        raise ConfigurationError(f"{provider.config.id} is neither an HTTPProvider nor a NativeProvider")
    asked, lists = provider.health_request(), provider.models_request() is not None
    if asked is not None:
        provider.read_health(perform(provider, asked, call))
        checkup.http_passed("its own check")
    elif not lists:
        url = HttpRequest("GET", provider.url("/"))
        with call.transport.send(url, Deadlines(call.timeouts, started=call.started)) as response:
            checkup.http_passed(f"HTTP {response.status}")
    if asked is not None:
        checkup.begin("model")
    _judge(listing_of(ready, call) if lists else None, ready, provider, checkup)


def _ask_natively(provider: NativeProvider, call: Call, checkup: Checkup) -> None:
    """A native provider examines itself; how it reaches its service is its own affair, unless it has us do it."""
    checkup.begin("connect")
    deadlines = Deadlines(call.timeouts, started=call.started)
    try:
        provider.health_check(native_call(provider, call, deadlines, stream=False))
    except LlmError as exc:
        if not isinstance(exc, NetworkFailed) and checkup.running in _NETWORK:
            checkup.running = "http"
        raise
    for stage in _NETWORK:
        checkup.skipped(stage, "it connects by itself")
    checkup.skipped("auth", "only a chat would tell")
    checkup.skipped("model", "it has no list of models that could be asked")


def _judge(listing: Listing | None, ready: Ready, provider: HTTPProvider, checkup: Checkup) -> None:
    """What a list of models tells of the key and of the model."""
    live = listing is not None and listing.source == "live"
    if "http" not in checkup.stages:
        checkup.http_passed(None if live or listing is None else listing.note)
    if not live:
        checkup.skipped("auth", "only a chat would tell")
    elif not provider.models_need_key:
        checkup.skipped("auth", "anybody may list its models; only a chat would tell")
    elif ready.secret is None:
        checkup.skipped("auth", "no key is sent")
    else:
        checkup.passed("auth", seconds=0)
    checkup.begin("model")
    if checkup.model is None:
        checkup.skipped("model", "there is no default model")
    elif listing is None or not live:
        checkup.skipped("model", "there is no list of its models")
    else:
        _look_for(checkup.model, [model.id for model in listing.models], provider, checkup)


def _look_for(wanted: str, ids: list[str], provider: HTTPProvider, checkup: Checkup) -> None:
    """Whether a model is in the list. What Ollama calls `name:latest` may be said without its tag."""
    if {wanted, f"{wanted}:latest", wanted.removeprefix("models/")} & set(ids):
        checkup.passed("model", wanted)
        return
    if not provider.lists_every_model:
        checkup.skipped("model", f"{wanted} is not in the list, which does not name all")
        return
    near = nearest(wanted, ids)
    raise UnknownModel(
        f"{checkup.id} lists no model {wanted!r}",
        hint=f"did you mean {checkup.id}/{one_line(near)}? `llmcli providers use` makes it the default"
        if near
        else None,
    )


def _chat(ready: Ready, call: Call, checkup: Checkup) -> None:
    """Ask for a few tokens, to the end: a stream that is cut is seen only there."""
    provider, model = ready.provider, checkup.model
    if model is None:
        checkup.skipped("chat", f"no model is chosen; `llmcli providers use {checkup.id}/MODEL` chooses one")
        return
    checkup.begin("chat")
    started, first = time.monotonic(), None
    with closing(answer(provider, greeting(provider, model), call)) as events:
        for event in events:
            if first is None and isinstance(event, TextDelta | ThinkingDelta | ToolCallDelta | ToolCall):
                first = time.monotonic() - started
                checkup.answered(first)
    checkup.passed("chat", "an empty answer" if first is None else f"first token after {first:.2f} s")
    auth = checkup.stages.get("auth")
    if auth and auth.ok is None and ready.secret is not None and provider.api_key.required:
        checkup.passed("auth", "the chat was answered", seconds=0)


def greeting(provider: Provider, model: str) -> ChatRequest:
    """A request for a few tokens; an API of the configuration that has no place for their number is not told it."""
    request = ChatRequest(model=model, messages=(message("user", "Say hi."),), max_tokens=_TOKENS)
    try:
        provider.check(request)
        if isinstance(provider, HTTPProvider):
            provider.chat_request(request, stream=False)
    except (UsageError, RequestRejected):
        return request._replace(max_tokens=None)
    return request
