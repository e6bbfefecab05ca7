"""What the README shows is true."""

import re
import tomllib
from pathlib import Path

import pytest
from grpc_service import FILES
from llmcli.config import Config, provider_setup

from llmcli_grpc import Grpc

README = (Path(__file__).parent.parent / "README.md").read_text()
TABLES = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("text", TABLES)
def test_its_tables_make_providers(text: str) -> None:
    providers = tomllib.loads(text)["providers"]
    for name in providers:
        Grpc(provider_setup(Config(providers=providers), name, Grpc, {}).config)


def test_its_first_table_is_no_longer_than_20_lines() -> None:
    assert len(TABLES[0].splitlines()) <= 20


@pytest.mark.parametrize("name", ["Message", "GenerateRequest", "Usage", "GenerateChunk"])
def test_its_generic_service_is_the_one_that_is_tested(name: str) -> None:
    found = re.search(rf"^message {name} \{{(.*?)\}}", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    shown = re.findall(r"(\w+) = \d+;", found[1])
    (tested,) = (message for file in FILES for message in file.message_type if message.name == name)
    assert [field.name for field in tested.field][: len(shown)] == shown
