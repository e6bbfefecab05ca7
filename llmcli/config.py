"""
Files, environment and flags become one frozen configuration. Layer 1: knows types, errors and the provider contract
(for the keys that a class declares).

`config.toml` is the user's and is never written by llmcli; `providers.d/*.toml` and `state.toml` beside it hold what
its commands change. All are merged in this order. The environment is passed in, never read here.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, NamedTuple, cast

from llmcli.errors import ConfigurationError, UsageError
from llmcli.provider import ConfigKey, Provider
from llmcli.types import NOTHING, Json, ProviderConfig, Timeouts

Table = Mapping[str, Any]
_LONGEST = 10.0**8  # seconds; sockets take no more than some centuries
_LARGEST = 16 * 1024 * 1024  # bytes of a file


class Key(NamedTuple):
    """A configuration key: its TOML types, what it means, the type of its items, and whether it may not be below 0."""

    types: tuple[type, ...]
    help: str
    items: type | None = None
    positive: bool = False


_TEXT, _NUMBER, _FLAG, _LIST, _TABLE = (str,), (int, float), (bool,), (list,), (dict,)

TOP_KEYS: dict[str, Key] = {
    "default": Key(_TEXT, "The model when none is named: `provider/model`, or a provider's id for its default model."),
    "aliases": Key(_TABLE, 'Short names: `name = "provider/model"`.', items=str),
    "chat": Key(_TABLE, "Defaults of `llmcli chat`."),
    "timeouts": Key(_TABLE, "Timeouts in seconds, for every provider."),
    "providers": Key(_TABLE, "One table for each provider: `[providers.ID]`."),
    "tools": Key(_TABLE, "Programs that a model may ask for: `[tools.NAME]`."),
}
CHAT_KEYS: dict[str, Key] = {
    "format": Key(_TEXT, "`text`, `markdown`, `json` or `jsonl`."),
    "color": Key(_TEXT, "`auto`, `always` or `never`."),
    "show_thinking": Key(_FLAG, "Whether thinking is shown on stderr."),
    "retries": Key((int,), "Further attempts before the first output.", positive=True),
    "retry_max_wait": Key(_NUMBER, "The longest wait in seconds that a provider may ask for.", positive=True),
    "fallback": Key(_LIST, "Models to try when the first cannot be had.", items=str),
    "strict": Key(_FLAG, "Exit 12 when the model stops at a limit or a filter."),
}
TOOL_KEYS: dict[str, Key] = {
    "command": Key(_LIST, "The program and its arguments; `{name}` is the value of a parameter. No shell.", items=str),
    "description": Key(_TEXT, "What it does, for the model."),
    "parameters": Key(
        _TABLE, "Each parameter with its JSON schema, or the schema of them all. Left out: all in braces are texts."
    ),
    "stdin": Key(_TEXT, "What the program reads, with `{name}` as above; left out: nothing."),
    "env": Key(_LIST, "Variables that it gets although their names say that they hold a secret.", items=str),
    "timeout": Key(_NUMBER, "Seconds that it may take (30); 0: any.", positive=True),
    "max_output": Key((int,), "Characters of its output that the model is given (65536).", positive=True),
}
TOOL_WAYS = ("native", "text", "text-hermes", "text-react")
TIMEOUT_KEYS: dict[str, Key] = {
    "connect": Key(_NUMBER, "DNS, every address, proxy and TLS together (5).", positive=True),
    "first": Key(_NUMBER, "Until the first event of the answer (120).", positive=True),
    "idle": Key(_NUMBER, "Between complete events (60).", positive=True),
    "total": Key(_NUMBER, "Everything, counted from the start of the process (none).", positive=True),
}
PROVIDER_KEYS: dict[str, Key] = {
    "adapter": Key(_TEXT, "Who speaks to it: the id of a built-in or a plugin (or `distribution:id`). Left out: ID."),
    "base_url": Key(_TEXT, "Where the API is."),
    "default_model": Key(_TEXT, "The model when only the provider is named."),
    "api_key": Key(_TABLE, "Where the key comes from and where it goes; see below."),
    "headers": Key(_TABLE, "Headers of every request; `${NAME}` in one is an environment variable.", items=str),
    "allow_http": Key(_FLAG, "Send a key over plain http to an address that is neither loopback nor private."),
    "proxy": Key(_TEXT, "The proxy for this provider; empty: none."),
    "ca_bundle": Key(_TEXT, "A file or hashed directory of certificates to trust instead of the system's."),
    "timeouts": Key(_TABLE, "Timeouts of this provider, as under `[timeouts]`."),
    "settings": Key(_TABLE, "temperature, max_tokens, top_p, stop, seed: sent when the call does not say."),
    "options": Key(_TABLE, "The provider's own, as `--option`."),
    "tools": Key(
        _TEXT,
        "How tools are told: `native`, or by `text` (`text-hermes`, `text-react`: in the words of such models). Left "
        "out: `native` where the provider can.",
    ),
    "schema": Key(
        _TEXT,
        "How a schema is asked for: `native`, as any `json` and in words, or in words alone (`prompt`). Left out: in "
        "the surest way that the provider has.",
    ),
    "models": Key(
        (list, dict),
        "Names to show where the service lists none; or `[providers.ID.models.NAME]`, the same keys for one model.",
    ),
}  # fmt: skip
API_KEY_KEYS: dict[str, Key] = {
    "env": Key(_TEXT, "The environment variable that holds it."),
    "command": Key(_TEXT, "A command that prints it (no shell)."),
    "keyring": Key(_FLAG, "Take it from the system's keyring, where `providers login --keyring` puts it."),
    "file": Key(_TEXT, "A file that holds it."),
    "header": Key(_TEXT, "The header that it goes into."),
    "scheme": Key(_TEXT, "The word before it in the header; empty: none. `Basic` encodes a key `user:password`."),
    "query": Key(_TEXT, "The parameter of the query that it goes into; servers and proxies log URLs."),
}
SETTING_KEYS: dict[str, Key] = {
    "temperature": Key(_NUMBER, "Sampling temperature."),
    "max_tokens": Key((int,), "The most tokens of the answer."),
    "top_p": Key(_NUMBER, "Nucleus sampling."),
    "stop": Key(_LIST, "Texts at which the answer ends.", items=str),
    "seed": Key((int,), "For answers that can be had again, as far as the provider can."),
}


class Config(NamedTuple):
    """
    What the files say. `directory` is where they are looked for; tables of providers are checked when used.

    `broken`: what is wrong with a file of `providers.d`, by its name without `.toml`, which is the id that it is for.
    `problems`: what is wrong with the other files, where the reader wanted to go on without them.
    """

    directory: str | None = None
    default: str | None = None
    aliases: Mapping[str, str] = NOTHING
    chat: Table = NOTHING
    timeouts: Table = NOTHING
    providers: Mapping[str, Table] = NOTHING
    tools: Mapping[str, Table] = NOTHING
    sources: Mapping[str, str] = NOTHING  # provider id -> the file that its table stands in
    tool_sources: Mapping[str, str] = NOTHING  # the name of a tool -> the same
    broken: Mapping[str, ConfigurationError] = NOTHING
    problems: tuple[ConfigurationError, ...] = ()


# --- files ----------------------------------------------------------------------------------------


def load(directory: str | None, file: str | None = None, *, lenient: bool = False) -> Config:
    """
    Read the configuration. `file` (from `--config`) replaces `config.toml` and must exist.

    A broken file of `providers.d` hurts only its own provider. For any other this raises `ConfigurationError` naming
    the file and the line or the dotted key; with `lenient` it goes on without it, and tells in `problems`.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    tool_sources: dict[str, str] = {}
    broken: dict[str, ConfigurationError] = {}
    problems: list[ConfigurationError] = []
    for path, provider_id in _files(directory, file):
        try:
            document = _document(path)
        except ConfigurationError as exc:
            if provider_id is not None:
                broken[provider_id] = exc
            elif lenient:
                problems.append(exc)
            else:
                raise
            continue
        merged = _deep_merge(merged, document)
        sources |= dict.fromkeys(document.get("providers", {}), path)
        tool_sources |= dict.fromkeys(document.get("tools", {}), path)
    return Config(
        directory, sources=sources, tool_sources=tool_sources, broken=broken, problems=tuple(problems), **merged
    )


def _files(directory: str | None, file: str | None) -> Iterator[tuple[str, str | None]]:
    """The files that there are, in their order; one of `providers.d` with the id that it is for."""
    if file is not None:
        yield file, None
    if directory is None:
        return
    if file is None and is_there(f"{directory}/config.toml"):
        yield f"{directory}/config.toml", None
    for path in _toml_files(f"{directory}/providers.d"):
        yield path, os.path.basename(path).removesuffix(".toml") if path.endswith(".toml") else None
    if is_there(f"{directory}/state.toml"):
        yield f"{directory}/state.toml", None


def _document(path: str) -> Table:
    document = read_toml(path)
    check_table(document, TOP_KEYS, path, "")
    check_table(document.get("chat", {}), CHAT_KEYS, path, "chat")
    check_table(document.get("timeouts", {}), TIMEOUT_KEYS, path, "timeouts")
    return document


def is_there(path: str) -> bool:
    """Whether a file is there. One in a folder that nobody may look into is, so that reading it says why it cannot."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _toml_files(directory: str) -> list[str]:
    try:
        return sorted(f"{directory}/{name}" for name in os.listdir(directory) if name.endswith(".toml"))
    except PermissionError:
        return [directory]  # reading it says why that cannot be
    except OSError:
        return []


def read_toml(path: str) -> dict[str, Any]:
    """A TOML file. Raises `ConfigurationError` that names it, and the line where its syntax is wrong."""
    import tomllib

    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ConfigurationError(f"{path} is longer than the limit of {_LARGEST // 2**20} MB")
        return tomllib.loads(data.decode())
    except OSError as exc:
        hint = "--no-config goes on without any" if isinstance(exc, PermissionError) else None
        raise ConfigurationError(f"cannot read {path}: {exc.strerror}", hint=hint) from exc
    except (ValueError, RecursionError) as exc:  # its own error is a ValueError, as is that of a number too long
        hint = "mend it; --no-config goes on without any"
        raise ConfigurationError(f"{path} is not valid TOML: {exc}", hint=hint) from exc


def check_table(table: Table, keys: Mapping[str, Key], path: str, prefix: str) -> None:
    """Raise `ConfigurationError` for an unknown key (with the nearest known one) or a value of the wrong type."""
    for name, value in table.items():
        dotted = f"{prefix}.{name}" if prefix else name
        if name not in keys:
            near = nearest(name, keys)
            raise ConfigurationError(f"{path}: unknown key {dotted}", hint=f"did you mean {near}?" if near else None)
        key = keys[name]
        _check_type(value, key.types, path, dotted)
        if isinstance(value, float) and not isfinite(value):
            raise ConfigurationError(f"{path}: {dotted} should be a finite number")
        if key.positive and value < 0:
            raise ConfigurationError(f"{path}: {dotted} should not be below 0")
        if key.items is not None:
            inner = value.items() if isinstance(value, dict) else ((str(at), item) for at, item in enumerate(value, 1))
            for item_name, item in inner:
                _check_type(item, (key.items,), path, f"{dotted}.{item_name}")


_TYPE_NAMES = {str: "text", int: "a number", float: "a number", bool: "true or false", list: "a list", dict: "a table"}


def _check_type(value: Any, types: tuple[type, ...], path: str, dotted: str) -> None:
    """The message has no value in it: what stands in the wrong place may be a key."""
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        found = _TYPE_NAMES.get(type(value), "a date or time")
        raise ConfigurationError(f"{path}: {dotted} should be {_TYPE_NAMES[types[0]]}, not {found}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a mistyped one was probably meant to be."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.7)), None)


# --- one provider ---------------------------------------------------------------------------------


def provider_table(config: Config, provider_id: str) -> Table:
    """A provider's table, empty if it has none. Raises `ConfigurationError` if it is no table or its file is broken."""
    if provider_id in config.broken:
        raise config.broken[provider_id]
    table: Any = config.providers.get(provider_id, {})
    path, dotted = config.sources.get(provider_id, ""), f"providers.{provider_id}"
    _check_type(table, _TABLE, path, dotted)
    _check_type(table.get("adapter", ""), _TEXT, path, f"{dotted}.adapter")
    return cast(Table, table)


class ProviderSetup(NamedTuple):
    """What the configuration says about one provider: what the adapter gets, and what only the driver needs."""

    config: ProviderConfig
    api_key: Table
    timeouts: Timeouts
    allow_http: bool = False
    proxy: str | None = None
    ca_bundle: str | None = None
    tools: str | None = None  # one of TOOL_WAYS
    schema: str | None = None  # one of schemas.WAYS
    path: str = ""
    from_environment: frozenset[str] = frozenset()  # the headers that environment variables are in


def provider_setup(
    config: Config,
    provider_id: str,
    cls: type[Provider],
    env: Mapping[str, str],
    *,
    model: str | None = None,
    base_url: str | None = None,
) -> ProviderSetup:
    """
    The configuration of one provider (for one model), checked strictly.

    The base URL is that of the flag, else of its table, else of the environment variable that its ecosystem has, else
    the provider's default. A configured provider with an id of its own never reads another's environment variables.
    """
    table, names = _table_for(config, provider_id, cls, model)
    path = config.sources.get(provider_id, "")
    place = f"{path}: providers.{provider_id}" if path else f"providers.{provider_id}"
    headers = {
        name: _with_variables(value, env, f"{place}.headers.{name}") for name, value in table.get("headers", {}).items()
    }
    env = env if provider_id == cls.id else {}
    return ProviderSetup(
        ProviderConfig(
            id=provider_id,
            base_url=_base_url(table, cls, env, base_url, f"{place}.base_url"),
            default_model=table.get("default_model"),
            headers=headers,
            settings=table.get("settings", {}),
            options=table.get("options", {}),
            models=names,
            own=_own_values(table, cls, env),
            place=place,
        ),
        api_key=table.get("api_key", {}),
        timeouts=with_times(Timeouts(), {**config.timeouts, **table.get("timeouts", {})}),
        allow_http=table.get("allow_http", False),
        proxy=table.get("proxy"),
        ca_bundle=table.get("ca_bundle"),
        tools=_tool_way(table.get("tools"), f"{place}.tools"),
        schema=table.get("schema"),
        path=path,
        from_environment=frozenset(name for name, value in table.get("headers", {}).items() if "${" in value),
    )


def _table_for(
    config: Config, provider_id: str, cls: type[Provider], model: str | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The table of a provider with what it says of one model laid over it, and the names of its models."""
    table = dict(provider_table(config, provider_id))
    path, dotted = config.sources.get(provider_id, ""), f"providers.{provider_id}"
    models = table.pop("models", [])
    check_table({"models": models}, PROVIDER_KEYS, path, dotted)
    for number, name in enumerate(models if isinstance(models, list) else (), 1):
        _check_type(name, _TEXT, path, f"{dotted}.models.{number}")
    if isinstance(models, dict):
        for name, override in models.items():
            _check_type(override, _TABLE, path, f"{dotted}.models.{name}")
            _check_provider(override, cls, path, f"{dotted}.models.{name}")
        table = _deep_merge(table, models.get(model or table.get("default_model") or cls.default_model, {}))
    _check_provider(table, cls, path, dotted)
    return table, tuple(models)


def _base_url(table: Table, cls: type[Provider], env: Mapping[str, str], flag: str | None, place: str) -> str | None:
    """The base URL of the flag, else of the table, else of the environment; checked."""
    candidates = [(flag, "--base-url"), (table.get("base_url"), place)]
    candidates += [(env.get(name) or None, name) for name in cls.base_url_env]
    url, source = next((found for found in candidates if found[0] is not None), (None, ""))
    if url is None:
        return None
    if "://" not in url and source in cls.base_url_env:  # OLLAMA_HOST may be no more than a host
        url = cls.resolve_base_url(url)
    check_url(url, source, cls.url_schemes)
    return url


def _with_variables(text: str, env: Mapping[str, str], place: str) -> str:
    """The text with the environment variables that it names as `${NAME}`. Raises `ConfigurationError` without one."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if not env.get(name, "").strip():
            raise ConfigurationError(
                f"{place}: the environment variable {name} is {'empty' if name in env else 'not set'}"
            )
        return env[name].strip()

    return re.sub(r"\$\{(\w+)\}", value, text)


def _tool_way(said: str | None, place: str) -> str | None:
    if said is not None and said not in TOOL_WAYS:
        raise ConfigurationError(f"{place} should be one of {', '.join(TOOL_WAYS)}, not {said!r}")
    return said


def _own_values(table: Table, cls: type[Provider], env: Mapping[str, str]) -> dict[str, Json]:
    """The values of the keys that the class declares for itself: of the table, else of the environment."""
    own: dict[str, Json] = {}
    for name, declared in cls.config_keys.items():
        if name in table:
            own[name] = table[name]
            continue
        for variable in declared.env:
            if env.get(variable):
                own[name] = _typed(env[variable], declared.type, variable)
                break
    return own


def with_times(timeouts: Timeouts, seconds: Mapping[str, float | None]) -> Timeouts:
    """The timeouts with those that are said; 0 means none."""
    said = {name: value for name, value in seconds.items() if value is not None}
    return timeouts._replace(**{name: min(value, _LONGEST) if value else None for name, value in said.items()})


def _check_provider(table: Table, cls: type[Provider], path: str, prefix: str) -> None:
    check_table(table, PROVIDER_KEYS | _keys(cls.config_keys), path, prefix)
    for name, key in cls.config_keys.items():
        if key.keys is not None:
            check_table(table.get(name, {}), _keys(key.keys), path, f"{prefix}.{name}")
    check_table(table.get("timeouts", {}), TIMEOUT_KEYS, path, f"{prefix}.timeouts")
    _check_api_key(table.get("api_key", {}), path, f"{prefix}.api_key")
    check_table(table.get("settings", {}), SETTING_KEYS, path, f"{prefix}.settings")


def _check_api_key(table: Table, path: str, prefix: str) -> None:
    """What stands in the place of a variable's name may be the key itself, so it is not shown."""
    check_table(table, API_KEY_KEYS, path, prefix)
    if not re.fullmatch(r"[A-Za-z_]\w*", table.get("env", "_"), re.ASCII):
        raise ConfigurationError(f"{path}: {prefix}.env should be the name of an environment variable, and is none")


def _keys(declared: Mapping[str, ConfigKey]) -> dict[str, Key]:
    return {name: Key(_NUMBER if key.type is float else (key.type,), key.help) for name, key in declared.items()}


def _deep_merge(below: Table, above: Table) -> dict[str, Any]:
    return {
        **below,
        **{
            name: _deep_merge(below[name], value)
            if isinstance(value, dict) and isinstance(below.get(name), dict)
            else value
            for name, value in above.items()
        },
    }


def _typed(text: str, kind: type, variable: str) -> Json:
    try:
        return cast(Json, kind(text))
    except ValueError:
        raise ConfigurationError(f"{variable} should be a number, not {text!r}") from None


def check_url(url: str, source: str, schemes: tuple[str, ...] = Provider.url_schemes) -> None:
    """Raise `UsageError` for a base URL that cannot be one, showing it without user and password."""
    shown = re.sub(r"//.*@", "//", url)
    scheme, separator, _ = url.partition("://")
    host = re.match(r"\w+://(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?(?=[/?]|$)", url)
    if re.search(r"[\x00-\x20\x7f]", url):
        problem = "it holds blanks or control characters"
    elif not separator or scheme not in schemes:
        problem = f"it should begin with {' or '.join(f'{each}://' for each in schemes)}"
    elif "@" in url.split("/")[2]:
        problem = "user and password do not belong into it"
    elif host is None or not 0 < int(host[1] or 80) < 65536:
        problem = "its host or port is not valid"
    elif "#" in url:
        problem = "it holds a fragment"
    else:
        return
    raise UsageError(f"{source}: {shown!r} is no base URL: {problem}")
