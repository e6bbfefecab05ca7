"""Files become one configuration, checked where it is used; and where keys come from."""

import os
from pathlib import Path

import pytest

from llmcli.config import (
    Config,
    ProviderSetup,
    Secret,
    check_key_transport,
    check_url,
    find_key,
    key_file_is_loose,
    load,
    nearest,
    provider_setup,
)
from llmcli.errors import AuthenticationFailed, ConfigurationError, UsageError
from llmcli.provider import ApiKey
from llmcli.providers.echo import Echo
from llmcli.providers.openai import OpenAI
from llmcli.providers.vendors import Azure, OpenAICompatible
from llmcli.types import ProviderConfig, Timeouts
from tests.program import Program

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


# --- keys -----------------------------------------------------------------------------------------

DECLARED = ApiKey(env=("OPENAI_API_KEY",), hint="https://keys.example")


def key(
    folder: Path, table: dict[str, str], env: dict[str, str], key_file: str | None = None, declared: ApiKey = DECLARED
) -> Secret | None:
    found = ProviderSetup(ProviderConfig("openai"), api_key=table, timeouts=Timeouts())
    return find_key(found, declared, "openai", env, str(folder), key_file)


def test_the_first_source_that_has_a_key_wins(tmp_path: Path) -> None:
    """A flag, the environment, the command, the file of the table, and the key file of the configuration directory."""
    (tmp_path / "keys").mkdir()
    for name in ("flag", "table", "keys/openai"):
        (tmp_path / name).write_text(f"of-{name}\n")
    table = {"command": "echo of-command", "file": str(tmp_path / "table")}
    env = {"OPENAI_API_KEY": "of-env"}

    assert key(tmp_path, table, env, str(tmp_path / "flag")) == Secret(
        "of-flag", f"--api-key-file {tmp_path}/flag", f"{tmp_path}/flag"
    )
    assert key(tmp_path, table, env) == Secret("of-env", "OPENAI_API_KEY")
    assert key(tmp_path, table, {}) == Secret("of-command", "api_key.command")
    del table["command"]
    assert key(tmp_path, table, {}) == Secret("of-table", f"{tmp_path}/table", f"{tmp_path}/table")
    assert key(tmp_path, {}, {}) == Secret("of-keys/openai", f"{tmp_path}/keys/openai", f"{tmp_path}/keys/openai")


def test_a_variable_of_the_table_replaces_those_of_the_provider(tmp_path: Path) -> None:
    env = {"MY_KEY": "mine", "OPENAI_API_KEY": "not this one"}

    assert key(tmp_path, {"env": "MY_KEY"}, env) == Secret("mine", "MY_KEY")
    with pytest.raises(AuthenticationFailed, match="no key for openai: MY_KEY is not set"):
        key(tmp_path, {"env": "MY_KEY"}, {"OPENAI_API_KEY": "not this one"})


def test_a_key_that_is_not_needed_need_not_be_there(tmp_path: Path) -> None:
    assert key(tmp_path, {}, {}, declared=DECLARED._replace(required=False)) is None
    with pytest.raises(AuthenticationFailed) as caught:
        key(tmp_path, {}, {})
    assert caught.value.message == "no key for openai: OPENAI_API_KEY is not set"
    assert caught.value.hint == "get one at https://keys.example"


def test_a_key_file_that_is_named_must_be_readable(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, reason in (
        ("missing", "No such file or directory"),
        (".", "Is a directory"),
        ("binary", "it is not UTF-8"),
    ):
        with pytest.raises(AuthenticationFailed, match=reason):
            key(tmp_path, {}, {}, str(tmp_path / name))


def test_a_secret_does_not_show_itself() -> None:
    assert "hidden" not in repr(Secret("hidden", "OPENAI_API_KEY"))
    assert "hidden" not in f"{[Secret('hidden', 'OPENAI_API_KEY')]}"


@pytest.mark.parametrize(
    ("mode", "loose"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o644, True)]
)
def test_a_key_file_is_loose_when_others_can_read_it(tmp_path: Path, mode: int, loose: bool) -> None:
    path = tmp_path / "key"
    path.touch()
    os.chmod(path, mode)

    assert key_file_is_loose(str(path)) is loose


@pytest.mark.parametrize(
    "url",
    [
        None,
        "https://api.example.com",
        "http://localhost:1234/v1",
        "http://api.localhost",
        "http://127.0.0.1",
        "http://127.9.9.9:80",
        "http://[::1]:11434",
        "http://10.1.2.3",
        "http://172.16.0.1",
        "http://192.168.1.5:8080/v1",
        "http://[fd00::1]/v1",
        "http://[::ffff:192.168.1.5]",
    ],
)
def test_a_key_may_go_to_this_machine_and_its_own_network_in_the_clear(url: str | None) -> None:
    check_key_transport(url, Secret("key", "X"), setup({}))


@pytest.mark.parametrize(
    "url", ["http://api.example.com", "http://8.8.8.8", "http://172.32.0.1", "http://localhost.example.com"]
)
def test_a_key_goes_nowhere_else_in_the_clear(url: str) -> None:
    with pytest.raises(UsageError, match="refusing to send the key of openai over plain http"):
        check_key_transport(url, Secret("key", "X"), setup({}))

    check_key_transport(url, None, setup({}))
    check_key_transport(url, Secret("key", "X"), setup({"allow_http": True}))


def test_a_key_goes_into_the_clear_over_a_websocket_no_more_than_over_http() -> None:
    with pytest.raises(UsageError, match="over plain ws to ws") as caught:
        check_key_transport("ws://ws.example.com/v1", Secret("key", "X"), setup({}))

    assert str(caught.value.hint).startswith("use wss")
    check_key_transport("wss://ws.example.com/v1", Secret("key", "X"), setup({}))
    check_key_transport("ws://127.0.0.1:8080", Secret("key", "X"), setup({}))


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
