"""
All of one provider: the fields of `providers show --json`, and the page that they make. Layer 3.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from llmcli import registry
from llmcli.commands.setup import Ready
from llmcli.commands.table import folded
from llmcli.config import Config, provider_table
from llmcli.errors import ConfigurationError
from llmcli.keys import Source
from llmcli.output import one_line
from llmcli.provider import Provider

# --- the fields -----------------------------------------------------------------------------------


def whereabouts(listed: registry.Listed, config: Config) -> dict[str, Any]:
    """Who speaks to a provider, and in which files it stands."""
    try:
        adapter = provider_table(config, listed.id).get("adapter", listed.id)
    except ConfigurationError:
        adapter = None
    return {
        "adapter": adapter,
        "plugin": listed.plugin and listed.plugin.origin,
        "plugin_file": registry.file_of(listed.plugin) if listed.plugin else None,
        "configuration_file": config.sources.get(listed.id),
    }


def declared(cls: type[Provider]) -> dict[str, Any]:
    """What a class says of itself."""
    return {
        "settings": {name: _said(setting) for name, setting in cls.settings.items()},
        "options": None if cls.options is None else {name: _said(option) for name, option in cls.options.items()},
        "configuration_keys": {
            name: {"help": key.help, "env": list(key.env), "required": key.required}
            for name, key in cls.config_keys.items()
        },
        "quirks": list(cls.quirks),
        "key_label": cls.api_key.label,
        "key_hint": cls.api_key.hint or None,
        "models": list(cls.known_models),
    }


def configured(
    cls: type[Provider], ready: Ready, places: Sequence[Source], config: Config, env: Mapping[str, str]
) -> dict[str, Any]:
    """What the configuration and the environment make of it. `places`: where its key may come from."""
    own, setup = provider_table(config, ready.setup.config.id), ready.setup
    holds = next((place for place in places if place.present is not False), None)
    return {
        "base_url_from": _base_url_from(cls, ready, own, env),
        "key_sources": [{**_named(place)._asdict(), "holds": place is holds} for place in places],
        "models": list(setup.config.models or cls.known_models),
        "models_from": "configuration" if setup.config.models else "built-in" if cls.known_models else None,
        "tables": {name: own[name] for name in cls.config_keys if isinstance(own.get(name), dict)},
    }


def _said(fields: Any) -> dict[str, Any]:
    """The fields of a named tuple that are said."""
    return {name: value for name, value in fields._asdict().items() if value not in (None, ())}


def _named(place: Source) -> Source:
    """Of a command only its first word: what follows may be anything."""
    if place.kind != "command":
        return place
    words = place.name.split()
    return place._replace(name=f"{words[0]} …" if len(words) > 1 else place.name)


def _base_url_from(cls: type[Provider], ready: Ready, own: Mapping[str, Any], env: Mapping[str, str]) -> str | None:
    """`configuration`, the name of an environment variable, or `default`."""
    if own.get("base_url"):
        return "configuration"
    variables = cls.base_url_env if ready.setup.config.id == cls.id else ()
    return next((name for name in variables if env.get(name)), "default" if ready.url else None)


# --- the page -------------------------------------------------------------------------------------


def as_page(row: Mapping[str, Any], *, width: int | None) -> str:
    """The fields as lines of `name: value`, folded where a terminal (`width` columns) ends."""
    lines = _lines(row) if width is None else (part for line in _lines(row) for part in _fold(line, max(width, 20)))
    return "".join(f"{line}\n" for line in lines)


def _fold(line: str, width: int) -> Iterator[str]:
    """A line in as many as it takes, all but the first indented below it."""
    indent = " " * (len(line) - len(line.lstrip()))
    first, *rest = folded(line, width - len(indent) - 2)
    yield indent + first
    yield from (f"{indent}  {part}" for part in rest)


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    for name in _PLAIN:
        value = row.get(name) if name != "key_label" or row["key"] not in ("none", "not needed") else None
        if value or (name in _ALWAYS and row["capabilities"] is not None):
            text = (", ".join(value) if isinstance(value, list) else str(value or "")) or "-"
            source = row.get(f"{name}_from")
            yield f"{name}: {one_line(text)}" + (f" ({source})" if source else "")
    for name, lines_of in _SECTIONS.items():
        of_no_use = name == "key_sources" and row["key"] == "none"
        lines = list(lines_of(row[name])) if row.get(name) and not of_no_use else []
        if lines:
            yield f"{name}:"
            yield from (f"  {one_line(line)}" for line in lines)


def _key_sources(places: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for number, place in enumerate(places, 1):
        state = {True: "is there", False: "is not there", None: "is asked when it is needed"}[place["present"]]
        taken = ", and is what is taken" if place["holds"] else ""
        yield f"{number}. {place['kind']} {place['name']} {state}{taken}"


def _settings(settings: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for name, ends in settings.items():
        yield f"{name}: " + (", ".join(f"{end} {value:g}" for end, value in ends.items()) or "any")


def _options(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, option in options.items():
        choices = ", ".join(option.get("choices", ()))
        yield f"{name}: {option['help']}" + (f" ({choices})" if choices else "")


def _configuration_keys(keys: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, key in keys.items():
        more = [*(["required"] if key["required"] else []), *key["env"]]
        yield f"{name}: {key['help']}" + (f" ({', '.join(more)})" if more else "")


def _tables(tables: Mapping[str, Any]) -> Iterator[str]:
    """The values of tables by their dotted keys."""
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from (f"{name}.{line}" for line in _tables(value))
        else:
            yield f"{name}: {value}"


def _quirks(quirks: Sequence[str]) -> Iterator[str]:
    return (f"- {quirk}" for quirk in quirks)


_PLAIN = ("id", "name", "origin", "problem", "adapter", "plugin", "plugin_file", "configuration_file", "base_url",
          "default_model", "models", "capabilities", "key", "key_label", "key_hint")  # fmt: skip
_ALWAYS = ("id", "name", "base_url", "default_model", "models", "key")
_SECTIONS: dict[str, Callable[[Any], Iterator[str]]] = {
    "key_sources": _key_sources,
    "settings": _settings,
    "options": _options,
    "configuration_keys": _configuration_keys,
    "tables": _tables,
    "quirks": _quirks,
}
