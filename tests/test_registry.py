"""Names to providers: the built-in table, and what a model's name means."""

import tomllib
from pathlib import Path

import pytest

from llmcli.config import Config
from llmcli.errors import ConfigurationError
from llmcli.plugins import PROVIDERS
from llmcli.provider import HTTPProvider, NativeProvider
from llmcli.registry import BUILT_IN, Target, every, load, resolve

CONFIG = Config(
    default="openai/gpt-x",
    aliases={"fast": "ollama/llama3.2", "team/fast": "anthropic/claude-x", "local": "ollama"},
    providers={"work": {"adapter": "openai-compatible"}, "my/odd": {"adapter": "echo"}},
)


def test_the_built_in_table_is_the_entry_points_of_the_project() -> None:
    """For speed their ids resolve from the table; for everybody else they are plugins like any."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

    assert project["entry-points"][PROVIDERS] == BUILT_IN


@pytest.mark.parametrize("provider_id", BUILT_IN)
def test_a_built_in_provider_keeps_the_contract(provider_id: str) -> None:
    cls = load(provider_id, Config())

    assert cls.id == provider_id
    assert cls.name
    assert issubclass(cls, HTTPProvider | NativeProvider)
    assert not cls.api_key.required or (cls.api_key.env and cls.api_key.hint)


def test_every_provider_is_listed_once_with_where_it_comes_from() -> None:
    listed = [(each.id, each.origin) for each in every(CONFIG)]

    assert {("echo", "built-in"), ("work", "configuration")} <= set(listed)
    assert {name for name, _ in listed} >= BUILT_IN.keys()
    assert len({name for name, _ in listed}) == len(listed)


def test_a_table_that_is_none_is_listed_with_its_problem_and_hurts_no_other() -> None:
    listed = {each.id: each.problem for each in every(Config(providers={"bad": {"adapter": 5}, "worse": 5}))}

    assert listed["bad"] is not None
    assert listed["worse"] is not None
    assert listed["openai"] is None


@pytest.mark.parametrize(
    ("name", "provider", "target"),
    [
        ("openai", None, Target("openai", None)),
        ("openai/", None, Target("openai", None)),
        ("openai/gpt-4o", None, Target("openai", "gpt-4o")),
        ("together/mistralai/Mixtral-8x7B", None, Target("together", "mistralai/Mixtral-8x7B")),
        ("work", None, Target("work", None)),
        ("work/large", None, Target("work", "large")),
        ("ollama/llama3.2:1b", None, Target("ollama", "llama3.2:1b")),
        ("fast", None, Target("ollama", "llama3.2")),
        ("team/fast", None, Target("anthropic", "claude-x")),
        ("local", None, Target("ollama", None)),
        ("gpt-4o", None, Target("openai", "gpt-4o")),
        (None, None, Target("openai", "gpt-x")),
        ("openai/gpt-4o", "openrouter", Target("openrouter", "openai/gpt-4o")),
        ("fast", "openai", Target("openai", "fast")),
        (None, "ollama", Target("ollama", None)),
    ],
)
def test_a_name_means_one_provider_and_one_model(name: str | None, provider: str | None, target: Target) -> None:
    assert resolve(name, provider, CONFIG) == target


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("opnai/gpt-4o", "openai/gpt-4o"),
        ("antropic/claude", "anthropic/claude"),
        ("wrok/large", "work/large"),
        ("mistralai/Mixtral-8x7B", "mistral/Mixtral-8x7B"),
        ("Openai/gpt-4o", "openai/gpt-4o"),
        ("zzz/gpt", None),
        ("/gpt-4o", None),
    ],
)
def test_a_name_with_a_slash_never_goes_to_the_default_provider(name: str, near: str | None) -> None:
    """A typo must never send a text to another company."""
    with pytest.raises(ConfigurationError) as caught:
        resolve(name, None, CONFIG)

    assert "is no known provider in" in caught.value.message
    assert caught.value.hint == (
        f"did you mean {near}?"
        if near
        else "say provider/model (`llmcli providers`), or -p openai-compatible with --base-url"
    )


@pytest.mark.parametrize("default", [None, "gpt-x", "opnai/gpt-x"])
@pytest.mark.parametrize("name", [None, "gpt-4o"])
def test_without_a_default_that_is_one_a_bare_name_belongs_to_nobody(default: str | None, name: str | None) -> None:
    with pytest.raises(ConfigurationError):
        resolve(name, None, Config(default=default))


def test_the_default_may_be_an_alias() -> None:
    config = CONFIG._replace(default="fast")

    assert resolve(None, None, config) == Target("ollama", "llama3.2")
    assert resolve("mistral-small", None, config) == Target("ollama", "mistral-small")


def test_an_unknown_provider_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("opnai", Config())

    assert caught.value.hint == "did you mean openai? `llmcli providers` lists them all"
