"""
Ids to providers: the built-in table, the configuration, entry points. Layer 2.

Built-in ids resolve from one table, so that nothing is searched for them, and cannot be taken; other ids are looked up
in the metadata of installed distributions, and only the one that is wanted is imported. `distribution:id` is the id
of one distribution's plugin, whoever else claims it. A model is named `provider/model`.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from llmcli.config import Config, nearest, provider_table
from llmcli.errors import ConfigurationError
from llmcli.provider import Provider
from llmcli.types import NOTHING

if TYPE_CHECKING:
    from llmcli.plugins import Plugin

BUILT_IN: dict[str, str] = {
    "echo": "llmcli.providers.echo:Echo",
    "openai": "llmcli.providers.openai:OpenAI",
    "openai-compatible": "llmcli.providers.vendors:OpenAICompatible",
    "anthropic": "llmcli.providers.anthropic:Anthropic",
    "ollama": "llmcli.providers.ollama:Ollama",
    "gateway": "llmcli.providers.gateway:Gateway",
    "http": "llmcli.providers.declarative:Declarative",
    "azure": "llmcli.providers.vendors:Azure",
    "together": "llmcli.providers.vendors:Together",
    "groq": "llmcli.providers.vendors:Groq",
    "mistral": "llmcli.providers.vendors:Mistral",
    "deepseek": "llmcli.providers.vendors:DeepSeek",
    "openrouter": "llmcli.providers.vendors:OpenRouter",
    "xai": "llmcli.providers.vendors:XAI",
    "fireworks": "llmcli.providers.vendors:Fireworks",
    "perplexity": "llmcli.providers.vendors:Perplexity",
    "cerebras": "llmcli.providers.vendors:Cerebras",
    "nvidia": "llmcli.providers.vendors:Nvidia",
    "ai21": "llmcli.providers.vendors:AI21",
    "huggingface-router": "llmcli.providers.vendors:HuggingFaceRouter",
    "gemini-openai": "llmcli.providers.vendors:GeminiOpenAI",
    "cohere-openai": "llmcli.providers.vendors:CohereOpenAI",
    "moonshot": "llmcli.providers.vendors:Moonshot",
    "zai": "llmcli.providers.vendors:ZAI",
    "dashscope": "llmcli.providers.vendors:DashScope",
    "siliconflow": "llmcli.providers.vendors:SiliconFlow",
    "lmstudio": "llmcli.providers.vendors:LMStudio",
    "vllm": "llmcli.providers.vendors:VLLM",
    "llamacpp": "llmcli.providers.vendors:LlamaCpp",
    "jan": "llmcli.providers.vendors:Jan",
    "localai": "llmcli.providers.vendors:LocalAI",
    "docker-model-runner": "llmcli.providers.vendors:DockerModelRunner",
    "litellm": "llmcli.providers.vendors:LiteLLM",
}


class Target(NamedTuple):
    """Which provider is to answer, and with which model (`None`: its default)."""

    provider: str
    model: str | None


class Listed(NamedTuple):
    """
    A provider as it is listed without being imported: its id and where it comes from. `plugin` is the one that speaks
    to it, if one does; then `name` is what the plugin's distribution says of itself. `problem` is what its metadata
    shows, or its table in the configuration.
    """

    id: str
    origin: str
    plugin: "Plugin | None" = None
    name: str | None = None
    problem: str | None = None

    @property
    def guest(self) -> bool:
        """Whether a plugin speaks to it."""
        return self.plugin is not None


_NAMING = "say provider/model (`llmcli providers`), or -p openai-compatible with --base-url"


def known_ids(config: Config) -> list[str]:
    """Every provider id: built-in, configured, and found in installed distributions."""
    return list(dict.fromkeys([*BUILT_IN, *in_files(config), *(name.rpartition(":")[2] for name in _plugin_ids())]))


def load(
    provider_id: str,
    config: Config,
    env: Mapping[str, str] = NOTHING,
    before_guest: Callable[[], None] = lambda: None,
) -> type[Provider]:
    """
    The class of a provider. `before_guest` is called before a plugin's code is run.

    Raises `ConfigurationError` for an unknown id (with the nearest one, or what would install it), one that several
    plugins claim, or a broken plugin.
    """
    adapter = provider_table(config, provider_id).get("adapter", provider_id)
    if adapter in BUILT_IN:
        return _import(BUILT_IN[adapter])
    claims = _claims(adapter)
    if claims:
        from llmcli import plugin_import, plugins

        plugin = plugins.the_one(claims)
        before_guest()
        return plugin_import.provider_class(plugin, env, adapter if adapter == provider_id else plugin.id)
    where = f"providers.{provider_id}.adapter: " if adapter != provider_id else ""
    _refuse_absent(adapter, where)
    if adapter == provider_id and provider_id in config.providers:
        raise ConfigurationError(
            f"{config.sources.get(provider_id, '')}: providers.{provider_id} has no adapter",
            hint='adapter = "openai-compatible" speaks to most services; it may be the id of any provider',
        )
    near = _nearest(adapter, config)
    raise ConfigurationError(
        f"{where}unknown provider {adapter!r}",
        hint=f"did you mean {near}? `llmcli providers` lists them all" if near else "`llmcli providers` lists them all",
    )


def _refuse_absent(name: str, where: str = "") -> None:
    """Raise for an id that a plugin of this project would provide, with the line that installs it."""
    from llmcli import installing

    distribution = installing.package(name)
    if distribution is not None:
        raise ConfigurationError(
            f"{where}{name} is a provider of the plugin {distribution}, which is not installed",
            hint=installing.line(distribution, installing.here()),
        )


def _nearest(name: str, config: Config, *more: str) -> str | None:
    """The id that a mistyped one was probably meant to be; it may be one that can be installed."""
    from llmcli import installing

    return nearest(name, [*known_ids(config), *more, *installing.PACKAGES])


def every(config: Config) -> Iterator[Listed]:
    """Every provider; no plugin is imported."""
    yield from (Listed(provider_id, "built-in") for provider_id in BUILT_IN)
    configured = in_files(config)
    yield from (listed(provider_id, config) for provider_id in configured if provider_id not in BUILT_IN)
    yield from (listed(name, config) for name in _plugin_ids() if name not in configured)


def listed(provider_id: str, config: Config) -> Listed:
    """One of them."""
    if provider_id in BUILT_IN:
        return Listed(provider_id, "built-in")
    if provider_id in in_files(config):
        try:
            adapter = provider_table(config, provider_id).get("adapter", provider_id)
        except ConfigurationError as exc:
            return Listed(provider_id, "configuration", problem=exc.message)
        spoken = [] if adapter in BUILT_IN else _claims(adapter)
        return Listed(provider_id, "configuration", spoken[0] if spoken else None)
    claims = _claims(provider_id)
    if not claims:
        return Listed(provider_id, "unknown")
    origin = ", ".join(plugin.origin for plugin in claims)
    return Listed(provider_id, origin, claims[0], claims[0].summary, _problem(claims[0]))


def seen_problem(listed: Listed) -> str | None:
    """What is wrong with a provider as far as it can be seen without an import: also in the source of its plugin."""
    if listed.problem is not None or listed.plugin is None:
        return listed.problem
    from llmcli import plugin_source

    return plugin_source.problem(listed.plugin)


def file_of(plugin: "Plugin") -> str | None:
    """The file that a plugin's provider stands in, if it can be found without an import."""
    from llmcli import plugin_source

    return plugin_source.file(plugin)


def _problem(plugin: "Plugin") -> str | None:
    """What is wrong with a plugin, as far as its metadata shows."""
    from llmcli import plugins

    if plugins.is_missing(plugin):
        return f"its module {plugin.package} is not there; install {plugin.distribution} again, or uninstall it"
    if plugin.id in BUILT_IN:
        return f"{plugin.id} is built in and cannot be taken; this one is {plugin.full_id}"
    others = [each.origin for each in _claims(plugin.id) if each != plugin]
    return f"{plugin.id} is also claimed by {', '.join(others)}; this one is {plugin.full_id}" if others else None


def resolve(name: str | None, provider: str | None, config: Config) -> Target:
    """
    Which provider and model a name means.

    With `provider`, the name is taken verbatim. A name with a slash begins with a known id or is an alias, else it is
    an error: a typo must never send text to another company. An id alone means its default model; any other name
    belongs to the default provider.
    """
    if provider is not None:
        return Target(provider, name)
    wanted = name
    if name is None:
        name = config.default
    if name is None:
        raise ConfigurationError(
            "no model is chosen: neither -m nor LLMCLI_MODEL nor `default` in config.toml",
            hint='try `llmcli chat -m echo "hi"`; `export LLMCLI_MODEL=openai` chooses one of `llmcli providers`',
        )
    said = "the default " if wanted is None else ""
    name = config.aliases.get(name, name)
    head, slash, model = name.partition("/")
    if head in BUILT_IN or head in in_files(config) or _claims(head):
        return Target(head, model or None)
    _refuse_absent(head)
    if slash or config.default in (None, name):
        near = _nearest(head, config, *config.aliases)
        raise ConfigurationError(
            f"{head!r} is no known provider in {said}{name!r}"
            if slash
            else f"{said}{name!r} is no known provider or alias",
            hint=f"did you mean {near}{slash}{model}?" if near else _NAMING,
        )
    return Target(resolve(config.default, None, config._replace(default=None)).provider, name)


def in_files(config: Config) -> list[str]:
    """The ids that the configuration has a table for, or a file that is broken."""
    return list(dict.fromkeys([*config.providers, *config.broken]))


def _import(path: str) -> type[Provider]:
    module, _, name = path.partition(":")
    cls: type[Provider] = getattr(import_module(module), name)
    return cls


def _plugin_ids() -> list[str]:
    """The ids of third parties' providers. Who asks for a built-in one loads nothing of this."""
    from llmcli import plugins

    return [name for name, _ in plugins.labels(plugins.PROVIDERS, BUILT_IN)]


def _claims(name: str) -> "list[Plugin]":
    from llmcli import plugins

    return plugins.named(plugins.PROVIDERS, name)
