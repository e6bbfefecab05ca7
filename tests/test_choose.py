"""`llmcli providers use`, `providers remove`, `models alias`: what is chosen stands in files of our own."""

import os
import subprocess
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llmcli import stored
from tests.program import Program
from tests.shell import AS_ANYBODY, Shell


def state_of(program: Program) -> Any:
    return tomllib.loads((program.config / "state.toml").read_text())


# --- use ------------------------------------------------------------------------------------------


def test_what_is_used_is_asked_when_no_model_is_named(llmcli: Program) -> None:
    used = llmcli("providers", "use", "echo")

    assert used.status == 0
    assert used.text == f"the default is echo\nwrote {llmcli.config}/state.toml\n"
    assert llmcli("chat", "-n", "hello").out == b"hello"


@pytest.mark.parametrize(
    ("name", "stored"),
    [("echo/echo", "echo/echo"), ("fast", "echo/quick"), ("echo", "echo")],
)
def test_a_model_can_be_used_by_any_name_that_it_has(llmcli: Program, name: str, stored: str) -> None:
    llmcli.configure('default = "echo"\n[aliases]\nfast = "echo/quick"')

    assert llmcli("providers", "use", name).status == 0
    assert state_of(llmcli)["default"] == stored


def test_the_configuration_of_the_user_is_never_changed(llmcli: Program) -> None:
    text = 'default = "openai"  # mine\n'
    llmcli.configure(text)

    llmcli("providers", "use", "echo")

    assert (llmcli.config / "config.toml").read_text() == text
    assert llmcli("chat", "-n", "hello").out == b"hello"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ehco", "did you mean echo?"),
        ("opnai/gpt", "did you mean openai/gpt?"),
        ("ollama", "ollama has no default model"),
        ("large", "'large' is no known provider or alias"),
    ],
)
def test_what_cannot_be_asked_cannot_be_used(llmcli: Program, name: str, says: str) -> None:
    """A bare name is no model of the present default here: it may be a provider that is mistyped."""
    llmcli.configure('default = "echo"')
    done = llmcli("providers", "use", name)

    assert done.status == 3
    assert says in done.err
    assert not (llmcli.config / "state.toml").exists()


def test_who_uses_a_provider_without_its_key_is_told_what_is_missing(llmcli: Program) -> None:
    done = llmcli("providers", "use", "openai")

    assert done.status == 0
    assert done.err == "llmcli: openai has no key yet: `llmcli providers login openai`\n"
    assert llmcli("providers", "use", "openai", env={"OPENAI_API_KEY": "sk-abcdef"}).err == ""


def test_a_variable_that_comes_first_is_told_of(llmcli: Program) -> None:
    done = llmcli("providers", "use", "echo", env={"LLMCLI_MODEL": "openai"})

    assert "LLMCLI_MODEL is set to openai here, which comes first" in done.err


@pytest.mark.parametrize("command", ["providers use echo", "models alias a echo", "models alias a --remove"])
def test_a_corrupt_file_is_told_of_and_never_overwritten(llmcli: Program, command: str) -> None:
    llmcli.config.mkdir(parents=True)
    (llmcli.config / "state.toml").write_text("default = \n")

    done = llmcli(*command.split())

    assert done.status == 3
    assert "state.toml is not valid TOML" in done.err
    assert (llmcli.config / "state.toml").read_text() == "default = \n"


def test_a_file_that_cannot_be_read_is_not_overwritten(sh: Shell) -> None:
    sh.program("providers", "use", "echo")
    path = sh.program.config / "state.toml"
    path.chmod(0)

    done = sh(f"{AS_ANYBODY} llmcli providers use echo/other")
    path.chmod(0o600)

    assert done.status == 3
    assert f"cannot read {path}: Permission denied" in done.err
    assert state_of(sh.program) == {"default": "echo"}


def test_a_directory_that_cannot_be_written_is_named(sh: Shell) -> None:
    sh.program.config.mkdir(parents=True)
    sh.program.config.chmod(0o500)

    done = sh(f"{AS_ANYBODY} llmcli providers use echo")
    sh.program.config.chmod(0o700)

    assert done.status == 3
    assert f"cannot write {sh.program.config}/state.toml: Permission denied" in done.err


def test_without_a_home_nothing_can_be_kept(llmcli: Program) -> None:
    done = subprocess.run(
        [*llmcli.command, "providers", "use", "echo"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": llmcli.env["PYTHONPATH"], "HOME": "relative"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 3
    assert "there is no configuration directory" in done.stderr


@pytest.mark.fault(87)
def test_many_at_once_lose_nothing(llmcli: Program) -> None:
    names = [f"name{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        assert all(done.status == 0 for done in pool.map(lambda name: llmcli("models", "alias", name, "echo"), names))

    assert sorted(state_of(llmcli)["aliases"]) == sorted(names)


def test_what_is_kept_is_for_its_owner_only(llmcli: Program) -> None:
    llmcli("providers", "use", "echo")

    assert (llmcli.config / "state.toml").stat().st_mode & 0o077 == 0


# --- alias ----------------------------------------------------------------------------------------


def test_an_alias_is_a_name_of_a_model(llmcli: Program) -> None:
    named = llmcli("models", "alias", "parrot", "echo/loud")

    assert named.text == f"parrot is echo/loud\nwrote {llmcli.config}/state.toml\n"
    assert llmcli("chat", "-n", "-m", "parrot", "--json", "hi").json["metadata"]["model"] == "loud"


def test_aliases_are_listed_and_forgotten(llmcli: Program) -> None:
    llmcli("models", "alias", "b", "echo/b")
    llmcli("models", "alias", "a", "echo")

    assert llmcli("models", "alias").text == "a\techo\nb\techo/b\n"
    assert llmcli("models", "alias", "b").text == "b\techo/b\n"
    assert llmcli("models", "alias", "--json").json == [
        {"alias": "a", "model": "echo"},
        {"alias": "b", "model": "echo/b"},
    ]
    assert llmcli("models", "alias", "a", "--remove").status == 0
    assert llmcli("models", "alias", "b", "--remove").status == 0
    assert llmcli("models", "alias").text == ""
    assert not (llmcli.config / "state.toml").exists()


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (["openai", "echo"], 2, "openai is the id of a provider"),
        (["a/b", "echo"], 2, "'a/b' is no short name"),
        (["a", "ehco/x"], 3, "did you mean echo/x?"),
        (["a"], 2, "llmcli models alias a PROVIDER/MODEL"),
        (["nobody", "--remove"], 3, "there is no alias 'nobody'"),
        (["mine", "--remove"], 2, "stands in config.toml"),
        (["--remove"], 2, "which name is to be forgotten?"),
    ],
)
def test_an_alias_that_cannot_be_is_refused(llmcli: Program, args: list[str], status: int, says: str) -> None:
    llmcli.configure('[aliases]\nmine = "echo"')

    done = llmcli("models", "alias", *args)

    assert done.status == status
    assert says in done.err
    assert not (llmcli.config / "state.toml").exists()


# --- remove ---------------------------------------------------------------------------------------


def test_what_was_added_can_be_removed_with_all_that_refers_to_it(llmcli: Program) -> None:
    llmcli("providers", "add", "work", "--base-url", "http://localhost:9/v1", "--default-model", "m")
    llmcli("providers", "use", "work")
    llmcli("models", "alias", "w", "work/large")
    llmcli("models", "alias", "parrot", "echo")

    done = llmcli("providers", "remove", "work")

    assert done.status == 0
    assert done.text == (
        f"removed {llmcli.config}/providers.d/work.toml\n"
        "the default was work; there is none now\n"
        "the alias w was work/large; it is gone too\n"
    )
    assert state_of(llmcli) == {"aliases": {"parrot": "echo"}}
    assert "'work' is no known provider" in llmcli("chat", "-n", "-m", "work/m", "hi").err


def test_a_broken_file_can_be_removed(llmcli: Program) -> None:
    (llmcli.config / "providers.d").mkdir(parents=True)
    (llmcli.config / "providers.d" / "acme.toml").write_text("[")

    assert llmcli("providers", "remove", "acme").status == 0
    assert not (llmcli.config / "providers.d" / "acme.toml").exists()


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("mine", 2, "the table of mine stands in"),
        ("openai", 2, "openai is built in"),
        ("nobody", 3, "no provider 'nobody' was added"),
        ("../state", 3, "no provider '../state' was added"),
    ],
)
def test_what_was_not_added_cannot_be_removed(llmcli: Program, name: str, status: int, says: str) -> None:
    llmcli.configure('[providers.mine]\nadapter = "echo"')
    (llmcli.config / "state.toml").write_text('default = "echo"\n')

    done = llmcli("providers", "remove", name)

    assert done.status == status
    assert says in done.err
    assert state_of(llmcli) == {"default": "echo"}


def test_its_key_goes_with_a_provider(llmcli: Program) -> None:
    """It is for the address that the table says; another provider of that name may be anywhere."""
    llmcli("providers", "add", "work", "--base-url", "http://localhost:9/v1")
    llmcli("providers", "login", "work", "--no-test", stdin=b"sk-of-the-old-address")

    done = llmcli("providers", "remove", "work")

    assert f"removed {llmcli.config}/keys/work\n" in done.text
    assert not (llmcli.config / "keys" / "work").exists()


@pytest.mark.parametrize(("url", "kept"), [("http://localhost:9/v2", True), ("http://localhost:8/v1", False)])
def test_a_key_does_not_go_to_the_new_address_of_a_provider(llmcli: Program, url: str, kept: bool) -> None:
    llmcli("providers", "add", "work", "--base-url", "http://localhost:9/v1")
    llmcli("providers", "login", "work", "--no-test", stdin=b"sk-of-the-old-address")

    done = llmcli("providers", "add", "work", "--base-url", url, "--replace")

    assert done.status == 0
    assert (llmcli.config / "keys" / "work").exists() is kept
    assert ("removed" in done.text) is not kept


@pytest.mark.parametrize("name", ["", "echo/"])
def test_a_variable_that_is_not_set_names_no_model(llmcli: Program, name: str) -> None:
    done = llmcli("providers", "use", name)

    assert done.status in (2, 3)
    assert not (llmcli.config / "state.toml").exists()


def test_a_default_that_means_nothing_any_more_is_said_to_be_the_default(llmcli: Program) -> None:
    llmcli.configure('default = "gone/x"')

    assert "'gone' is no known provider in the default 'gone/x'" in llmcli("chat", "-n", "hi").err


@pytest.mark.parametrize("command", ["providers use echo", "models alias a echo", "providers remove work"])
def test_a_file_of_state_that_says_nonsense_is_no_reason_to_crash(llmcli: Program, command: str) -> None:
    llmcli("providers", "add", "work", "--base-url", "http://localhost:9/v1")
    (llmcli.config / "state.toml").write_text("default = 3\naliases = 3\n")

    done = llmcli(*command.split(), "--no-config")

    assert done.status == 3
    assert "default should be text" in done.err
    assert (llmcli.config / "providers.d" / "work.toml").exists()


def test_what_is_said_before_a_subcommand_holds_for_it(llmcli: Program) -> None:
    assert llmcli("providers", "--config", "/nonexistent", "use", "echo").status == 3
    assert not (llmcli.config / "state.toml").exists()


def test_who_reads_a_file_while_it_is_written_sees_one_state_or_the_other(tmp_path: Path) -> None:
    path = str(tmp_path / "state.toml")
    states = [stored.as_toml({"aliases": {f"name{number}": letter * 200 for number in range(200)}}) for letter in "ab"]
    stored.write_whole(path, states[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for state in states:
                stored.write_whole(path, state)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {Path(path).read_bytes() for _ in range(500)}
    finally:
        stop.set()
        writer.join()
    assert seen <= set(states)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["state.toml"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "state.toml").mkdir()  # which no file can take the place of

    with pytest.raises(OSError):
        stored.write_whole(str(tmp_path / "state.toml"), b"x")

    assert [entry.name for entry in tmp_path.iterdir()] == ["state.toml"]
