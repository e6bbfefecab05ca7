"""Where keys come from, in what order, and how they may travel."""

import os
from pathlib import Path

import pytest

from llmcli.config import Config, ProviderSetup, provider_setup
from llmcli.errors import AuthenticationFailed, UsageError
from llmcli.keys import Secret, Source, check_key_transport, find_key, key_file_is_loose, sources
from llmcli.provider import ApiKey
from llmcli.providers.openai import OpenAI
from llmcli.types import ProviderConfig, Timeouts

# --- keys -----------------------------------------------------------------------------------------

DECLARED = ApiKey(env=("OPENAI_API_KEY",), hint="https://keys.example")


def setup(table: dict[str, object]) -> ProviderSetup:
    return provider_setup(Config(providers={"openai": table}), "openai", OpenAI, {})


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
    assert caught.value.hint == "get one at https://keys.example; `llmcli providers login openai` asks for it"


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


def test_the_sources_are_told_in_the_order_in_which_they_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "openai").write_text("of-keys")
    found = provider_setup(
        Config(providers={"openai": {"api_key": {"command": "pass openai", "keyring": True, "file": "/key"}}}),
        "openai", OpenAI, {},
    )  # fmt: skip

    assert sources(found, OpenAI.api_key, "openai", {}, str(tmp_path), "/flag") == [
        Source("flag", "/flag", True),
        Source("environment", "OPENAI_API_KEY", False),
        Source("command", "pass openai", None),
        Source("keyring", "openai", None),
        Source("file", "/key", True),
        Source("file", f"{tmp_path}/keys/openai", True),
    ]


def test_a_variable_that_is_set_but_empty_holds_where_a_key_is_needed_and_nowhere_else() -> None:
    found = provider_setup(Config(), "openai", OpenAI, {})
    empty = {"OPENAI_API_KEY": " "}

    assert sources(found, OpenAI.api_key, "openai", empty, None)[0].present is True
    optional = OpenAI.api_key._replace(required=False)
    assert sources(found, optional, "openai", empty, None)[0].present is False
