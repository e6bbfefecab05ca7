"""
Ids to providers: the built-in table, the configuration, entry points. Layer 2.

Built-in ids resolve from one table, so that nothing is searched for them; other ids are looked up in the metadata of
installed distributions, and only the one that is wanted is imported. A model is named `provider/model`.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from llmcli.config import Config, nearest, provider_table
from llmcli.errors import ConfigurationError
from llmcli.provider import Provider

GROUP = "llmcli.providers"

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
    """A provider as it is listed: its id, where it comes from, and its class unless it is broken."""

    id: str
    origin: str
    cls: type[Provider] | None
    problem: str | None = None


_NAMING = "say provider/model (`llmcli providers`), or -p openai-compatible with --base-url"


def known_ids(config: Config) -> list[str]:
    """Every provider id: built-in, configured, and found in installed distributions."""
    return list(dict.fromkeys([*BUILT_IN, *config.providers, *_entry_points()]))


def load(provider_id: str, config: Config) -> type[Provider]:
    """
    The class of a provider. Raises `ConfigurationError` for an unknown id (with the nearest one) or a broken plugin.
    """
    adapter = provider_table(config, provider_id).get("adapter", provider_id)
    if adapter in BUILT_IN:
        return _import(BUILT_IN[adapter])
    plugins = _entry_points()
    if adapter in plugins:
        return _from_plugin(plugins[adapter])
    if adapter == provider_id and provider_id in config.providers:
        raise ConfigurationError(
            f"{config.sources.get(provider_id, '')}: providers.{provider_id} has no adapter",
            hint='adapter = "openai-compatible" speaks to most services; it may be the id of any provider',
        )
    near = nearest(adapter, known_ids(config))
    where = f"providers.{provider_id}.adapter: " if adapter != provider_id else ""
    raise ConfigurationError(
        f"{where}unknown provider {adapter!r}",
        hint=f"did you mean {near}? `llmcli providers` lists them all" if near else "`llmcli providers` lists them all",
    )


def every(config: Config) -> Iterator[Listed]:
    """Every provider with its class; a broken one says why and hurts nobody else."""
    plugins = _entry_points()
    for provider_id in known_ids(config):
        origin = "built-in" if provider_id in BUILT_IN else "configuration"
        if provider_id in plugins and provider_id not in config.providers and provider_id not in BUILT_IN:
            origin = f"{plugins[provider_id].dist.name} {plugins[provider_id].dist.version}"
        try:
            yield Listed(provider_id, origin, load(provider_id, config))
        except ConfigurationError as exc:
            yield Listed(provider_id, origin, None, exc.message)


def resolve(name: str | None, provider: str | None, config: Config) -> Target:
    """
    Which provider and model a name means.

    With `provider`, the name is taken verbatim. A name with a slash begins with a known id or is an alias, else it is
    an error: a typo must never send text to another company. An id alone means its default model; any other name
    belongs to the default provider.
    """
    if provider is not None:
        return Target(provider, name)
    if name is None:
        name = config.default
    if name is None:
        raise ConfigurationError(
            "no model is chosen: neither -m nor LLMCLI_MODEL nor `default` in config.toml",
            hint='try `llmcli chat -m echo "hi"`; `export LLMCLI_MODEL=openai` chooses one of `llmcli providers`',
        )
    name = config.aliases.get(name, name)
    head, slash, model = name.partition("/")
    if head in BUILT_IN or head in config.providers or head in _entry_points():
        return Target(head, model or None)
    if slash or config.default in (None, name):
        near = nearest(head, [*known_ids(config), *config.aliases])
        raise ConfigurationError(
            f"{head!r} is no known provider in {name!r}" if slash else f"{name!r} is no known provider or alias",
            hint=f"did you mean {near}{slash}{model}?" if near else _NAMING,
        )
    return Target(resolve(config.default, None, config._replace(default=None)).provider, name)


def _import(path: str) -> type[Provider]:
    module, _, name = path.partition(":")
    cls: type[Provider] = getattr(import_module(module), name)
    return cls


def _from_plugin(entry_point: Any) -> type[Provider]:
    """A stranger's class: whatever goes wrong in it is its own, and is named as such."""
    whose = f"{entry_point.dist.name} {entry_point.dist.version} ({entry_point.name} = {entry_point.value})"
    try:
        cls = entry_point.load()
    except (Exception, SystemExit) as exc:
        first = (str(exc).splitlines() or [""])[0]
        raise ConfigurationError(f"the plugin {whose} cannot be loaded: {type(exc).__name__}: {first}") from exc
    if not (isinstance(cls, type) and issubclass(cls, Provider)):
        raise ConfigurationError(f"the plugin {whose} is no Provider class")
    return cls


def _entry_points() -> Mapping[str, Any]:
    """The entry points of third parties by id. Built-in ids are ours and cannot be taken."""
    from importlib.metadata import entry_points

    return {found.name: found for found in entry_points(group=GROUP) if found.name not in BUILT_IN}
