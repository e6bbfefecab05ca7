"""Every built-in provider passes the conformance kit that authors of plugins are given."""

import pytest

from llmcli.config import Config
from llmcli.provider import HTTPProvider
from llmcli.providers.vendors import Azure
from llmcli.registry import BUILT_IN, load
from llmcli.testing import Subject, run
from llmcli.types import ProviderConfig
from tests.wire_samples import anthropic, declarative, echo, gateway, ollama, openai

OWN = {
    "anthropic": anthropic.SAMPLES,
    "echo": echo.SAMPLES,
    "gateway": gateway.SAMPLES,
    "http": declarative.SAMPLES,
    "ollama": ollama.SAMPLES,
}
CONFIGS = {"http": declarative.CONFIG}
SPEAKERS = {*OWN, "openai", "openai-compatible"}  # each has a reader or a framing of its own, and the others theirs
LONG = dict.fromkeys(("a-stream-may-be-cut-anywhere", "strange-answers-do-no-harm"), "another has the same reader")


def subject(provider_id: str) -> Subject:
    """A built-in provider with samples of its API: of OpenAI's where it has none of its own."""
    found = Subject(load(provider_id, Config()), OWN.get(provider_id), CONFIGS.get(provider_id))
    provider = found.made()
    if found.samples is not None or not isinstance(provider, HTTPProvider):
        return found
    listed = provider.models_request() is not None
    return found._replace(samples=openai.samples(provider.capabilities, models=listed))


def failures(checked: Subject, *, connect: bool = True) -> list[str]:
    return [f"{result.id}: {result.message}" for result in run(checked, connect=connect) if result.status == "failed"]


@pytest.mark.parametrize("provider_id", BUILT_IN)
def test_a_built_in_provider_passes_the_kit(provider_id: str) -> None:
    checked, speaks = subject(provider_id), provider_id in SPEAKERS
    assert failures(checked if speaks else checked._replace(waived=LONG), connect=speaks) == []


def test_azure_before_its_v1_passes_the_kit() -> None:
    config = ProviderConfig("azure", "https://kit.openai.azure.com", own={"api_version": "2024-10-21"})
    assert failures(subject("azure")._replace(config=config)) == []


def test_a_provider_without_samples_passes_what_needs_none() -> None:
    assert failures(Subject(Azure)) == []


@pytest.mark.parametrize("name", declarative.FRAMINGS)
def test_streams_in_any_framing_pass_the_kit(name: str) -> None:
    config, samples = declarative.FRAMINGS[name]
    assert failures(subject("http")._replace(config=config, samples=samples)) == []
