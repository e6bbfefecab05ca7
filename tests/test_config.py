"""Files become one configuration, checked where it is used."""

from pathlib import Path

import pytest

from llmcli.config import (
    Config,
    ProviderSetup,
    check_url,
    load,
    nearest,
    provider_setup,
)
from llmcli.errors import ConfigurationError, UsageError
from llmcli.providers.echo import Echo
from llmcli.providers.openai import OpenAI
from llmcli.providers.vendors import Azure, OpenAICompatible
from llmcli.types import Timeouts
from tests.program import Program
from tests.shell import AS_ANYBODY, Shell

# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration directory with all of its files."""
    (tmp_path / "providers.d").mkdir()
    (tmp_path / "config.toml").write_text(
        'default = "openai"\naliases = { a = "openai/a", b = "openai/b" }\n'
        '[providers.openai]\nbase_url = "https://one.example"\n[providers.first]\nadapter = "echo"\n'
    )
    (tmp_path / "providers.d" / "second.toml").write_text('[providers.second]\nadapter = "echo"\n')
    (tmp_path / "providers.d" / "openai.toml").write_text('[providers.openai]\nbase_url = "https://two.example"\n')
    (tmp_path / "providers.d" / "notes.txt").write_text("not TOML at all")
    (tmp_path / "state.toml").write_text('default = "echo"\naliases = { b = "echo/b" }\n')
    return tmp_path


def test_the_files_are_merged_in_their_order(folder: Path) -> None:
    config = load(str(folder))

    assert config.default == "echo"
    assert config.aliases == {"a": "openai/a", "b": "echo/b"}
    assert config.providers.keys() == {"openai", "first", "second"}
    assert config.providers["openai"]["base_url"] == "https://two.example"
    assert config.sources["openai"] == f"{folder}/providers.d/openai.toml"
    assert config.sources["first"] == f"{folder}/config.toml"


def test_a_named_file_replaces_only_config_toml(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('default = "ollama"\n')

    config = load(str(folder), str(other))

    assert config.providers.keys() == {"openai", "second"}
    assert config.default == "echo"


@pytest.mark.parametrize("directory", [None, "/nonexistent"])
def test_without_files_there_is_an_empty_configuration(directory: str | None) -> None:
    assert load(directory) == Config(directory)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("defualt", "default"), ("default_modle", "default_model"), ("xyz", None), ("", None)],
)
def test_the_nearest_name_is_what_was_meant(name: str, expected: str | None) -> None:
    assert nearest(name, ["default", "default_model", "aliases"]) == expected


# --- one provider ---------------------------------------------------------------------------------


def setup(table: dict[str, object], env: dict[str, str] | None = None, **more: str) -> ProviderSetup:
    config = Config(providers={"openai": table}, sources={"openai": "config.toml"}, timeouts={"idle": 7, "first": 8})
    return provider_setup(config, "openai", OpenAI, env or {}, **more)


def test_the_address_is_that_of_the_flag_then_the_table_then_the_environment() -> None:
    table: dict[str, object] = {"base_url": "https://table.example"}
    env = {"OPENAI_BASE_URL": "https://env.example"}

    assert setup(table, env, base_url="https://flag.example").config.base_url == "https://flag.example"
    assert setup(table, env).config.base_url == "https://table.example"
    assert setup({}, env).config.base_url == "https://env.example"
    assert setup({}, {"OPENAI_BASE_URL": ""}).config.base_url is None
    assert setup({}).config.base_url is None


def test_a_provider_with_a_name_of_its_own_reads_no_variable_of_another() -> None:
    config = Config(providers={"work": {"adapter": "openai"}})
    env = {"OPENAI_BASE_URL": "https://env.example", "OPENAI_ORG_ID": "org"}

    found = provider_setup(config, "work", OpenAI, env).config

    assert (found.base_url, found.own) == (None, {})
    assert setup({}, env).config.own == {"organization": "org"}


def test_the_table_of_a_model_lies_over_that_of_its_provider() -> None:
    table: dict[str, object] = {
        "settings": {"temperature": 0.1, "seed": 1},
        "timeouts": {"idle": 5},
        "models": {"big": {"settings": {"temperature": 0.9}, "timeouts": {"total": 99}}},
    }

    plain, big = setup(table), setup(table, model="big")

    assert plain.config.settings == {"temperature": 0.1, "seed": 1}
    assert big.config.settings == {"temperature": 0.9, "seed": 1}
    assert plain.timeouts == Timeouts(first=8, idle=5)
    assert big.timeouts == Timeouts(first=8, idle=5, total=99)
    assert big.config.models == ("big",)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1",
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://[::1]:11434/v1",
        "https://a_b.c/",
    ],
)
def test_a_base_url_that_is_one_is_taken(url: str) -> None:
    check_url(url, "--base-url")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:8080", "it should begin with https:// or http://"),
        ("ftp://host/", "it should begin with https:// or http://"),
        ("https://host/a b", "it holds blanks or control characters"),
        ("https://host/\n", "it holds blanks or control characters"),
        ("https://", "its host or port is not valid"),
        ("https://host:port/", "its host or port is not valid"),
        ("https://host:99999/", "its host or port is not valid"),
        ("https://host/#part", "it holds a fragment"),
        ("https://user:secret@host/", "user and password do not belong into it"),
    ],
)
def test_a_base_url_that_is_none_is_told_why(url: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_url(url, "--base-url")

    assert caught.value.message.startswith("--base-url: ")
    assert caught.value.message.endswith(f"is no base URL: {problem}")
    assert "secret" not in caught.value.message


def test_a_provider_may_have_base_urls_of_another_scheme() -> None:
    check_url("wss://host:8443/v1", "--base-url", ("wss", "ws"))

    with pytest.raises(UsageError, match="it should begin with wss:// or ws://"):
        check_url("https://host/", "--base-url", ("wss", "ws"))


# --- keys of a class -----------------------------------------------------------------------------


def test_what_a_class_declares_is_known_in_its_table_only() -> None:
    config = Config(providers={name: {"api_version": "2024-10-21"} for name in ("azure", "echo")})

    assert provider_setup(config, "azure", Azure, {}).config.own == {"api_version": "2024-10-21"}
    with pytest.raises(ConfigurationError, match=r"unknown key providers\.echo\.api_version"):
        provider_setup(config, "echo", Echo, {})


def test_a_key_of_the_class_has_a_type_too() -> None:
    config = Config(providers={"openai-compatible": {"think_open": "yes"}})

    with pytest.raises(ConfigurationError, match="think_open should be true or false, not text"):
        provider_setup(config, "openai-compatible", OpenAICompatible, {})


@pytest.mark.parametrize(
    "text", ["[timeouts]\nidle = -1\n", "[chat]\nretries = -2\n", "[providers.openai.timeouts]\nfirst = -0.5\n"]
)
def test_a_time_or_a_number_of_retries_below_zero_is_refused(llmcli: Program, text: str) -> None:
    llmcli.configure(text)

    done = llmcli("chat", "-p", "openai", "-n", "hi", env={"OPENAI_API_KEY": "sk-test-1"})

    assert done.status == 3
    assert "should not be below 0" in done.err


def test_tables_of_one_provider_in_two_files_are_merged(tmp_path: Path) -> None:
    (tmp_path / "providers.d").mkdir()
    (tmp_path / "config.toml").write_text('[providers.groq]\ndefault_model = "m"\n')
    (tmp_path / "providers.d" / "groq.toml").write_text('[providers.groq]\nbase_url = "https://g.example"\n')

    assert load(str(tmp_path)).providers["groq"] == {"default_model": "m", "base_url": "https://g.example"}


def test_a_mistake_is_blamed_on_the_file_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('default = "echo"\n')
    (tmp_path / "state.toml").write_text("[chat]\nretrys = 3\n")

    with pytest.raises(ConfigurationError, match=r"state\.toml: unknown key chat\.retrys"):
        load(str(tmp_path))


# --- a broken file hurts only what it is for ------------------------------------------------------


def test_a_broken_file_of_a_provider_stops_that_provider_only(llmcli: Program) -> None:
    llmcli.configure('default = "echo"')
    (llmcli.config / "providers.d").mkdir()
    (llmcli.config / "providers.d" / "acme.toml").write_text("[providers.acme\n")

    assert llmcli("chat", "-n", "hi").out == b"hi"
    done = llmcli("chat", "-n", "-m", "acme/large", "hi")
    assert done.status == 3
    assert "providers.d/acme.toml is not valid TOML" in done.err
    assert "line 1" in done.err


@pytest.mark.parametrize("name", ["config.toml", "state.toml"])
def test_a_corrupt_file_of_everybody_s_stops_a_chat_and_is_never_ignored_silently(llmcli: Program, name: str) -> None:
    llmcli.config.mkdir(parents=True)
    (llmcli.config / name).write_text("default = \n")

    done = llmcli("chat", "-n", "-m", "echo", "hi")
    assert done.status == 3
    assert f"{name} is not valid TOML" in done.err
    assert llmcli("chat", "-n", "--no-config", "-m", "echo", "hi").out == b"hi"


def test_who_wants_to_go_on_without_a_corrupt_file_is_told_of_it(folder: Path) -> None:
    (folder / "config.toml").write_text("default = 3")

    config = load(str(folder), lenient=True)

    assert [problem.message for problem in config.problems] == [
        f"{folder}/config.toml: default should be text, not a number"
    ]
    assert "second" in config.providers  # what other files say is there


def test_a_folder_that_nobody_may_look_into_is_no_empty_one(sh: Shell) -> None:
    sh.program.configure('default = "echo"')
    (sh.program.config / "providers.d").mkdir()
    for folder in (sh.program.config / "providers.d", sh.program.config):
        folder.chmod(0)
        done = sh(f"{AS_ANYBODY} llmcli chat -n -m echo hi")
        folder.chmod(0o700)
        assert done.status == 3
        assert "Permission denied" in done.err
        assert "--no-config goes on without any" in done.err
