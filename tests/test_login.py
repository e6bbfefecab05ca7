"""`llmcli providers login` and `logout`: a key is taken, tried, kept where nobody else can read it, and forgotten."""

import json
import os
import signal
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.program import Program
from tests.servers import Connection, Server, answers, whole
from tests.shell import AS_ANYBODY, Shell, read_until
from tests.terminal import talking_to

Serve = Callable[..., Server]
KEY = "sk-of-a-login-0123456789"
MODELS = {"data": [{"id": "large"}, {"id": "small"}]}


def takes(key: str) -> Callable[[Connection], None]:
    """A server that lists its models to whoever has the key."""

    def script(connection: Connection) -> None:
        if connection.request.headers.get("authorization") == f"Bearer {key}":
            connection.send(whole(200, MODELS))
        else:
            connection.send(whole(401, {"error": {"message": "no such key"}}))

    return script


@pytest.fixture
def openai(llmcli: Program, serve: Serve) -> Server:
    """A server that the built-in provider `openai` is configured for, and that takes `KEY`."""
    server = serve(takes(KEY))
    llmcli.configure(f'[providers.openai]\nbase_url = "{server.url}"')
    return server


def kept(program: Program, provider: str = "openai") -> Path:
    return program.config / "keys" / provider


# --- taking it ------------------------------------------------------------------------------------


def test_a_key_on_stdin_is_tried_and_kept_where_nobody_else_can_read_it(llmcli: Program, openai: Server) -> None:
    done = llmcli("providers", "login", "openai", stdin=f"{KEY}\n".encode())

    assert done.status == 0, done.err
    assert done.text.startswith(f"OpenAI accepts the key, and lists 2 models\nwrote {kept(llmcli)}\n")
    assert kept(llmcli).read_text() == f"{KEY}\n"
    assert kept(llmcli).stat().st_mode & 0o777 == 0o600
    assert kept(llmcli).parent.stat().st_mode & 0o777 == 0o700
    assert llmcli("models", "list", "openai").text == "openai/large\nopenai/small\n"
    assert KEY not in done.text + done.err


def test_a_key_is_taken_from_a_file(llmcli: Program, openai: Server, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)

    assert llmcli("providers", "login", "openai", "--key-file", str(tmp_path / "key")).status == 0
    (tmp_path / "key").unlink()
    assert llmcli("models", "list", "openai").status == 0


def test_a_command_that_prints_the_key_is_run_each_time(llmcli: Program, openai: Server, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)

    done = llmcli("providers", "login", "openai", "--key-command", f"cat {tmp_path}/key")

    table = llmcli.config / "providers.d" / "openai.toml"
    assert done.status == 0, done.err
    assert f"wrote {table}\n" in done.text
    assert tomllib.loads(table.read_text()) == {
        "providers": {"openai": {"api_key": {"command": f"cat {tmp_path}/key"}}}
    }
    assert not kept(llmcli).exists()
    assert llmcli("models", "list", "openai").status == 0
    (tmp_path / "key").write_text("another")
    assert llmcli("models", "list", "openai").status == 4


def test_a_key_is_typed_unseen(llmcli: Program, openai: Server) -> None:
    with talking_to(llmcli, "providers", "login", "openai") as session:
        shown = session.until("API key for OpenAI (sk-...): ")
        assert "get one at https://platform.openai.com" in shown
        assert not session.echoes
        session.type(f"{KEY}\r")
        done = session.ended()

    assert done.status == 0
    assert b"accepts the key" in done.out
    assert KEY.encode() not in done.out
    assert kept(llmcli).read_text() == f"{KEY}\n"


def test_a_provider_of_the_configuration_is_called_by_its_id(llmcli: Program, serve: Serve) -> None:
    url = serve(answers(200, {"data": [{"id": "m"}]})).url
    llmcli.configure(f'[providers.work]\nadapter = "openai-compatible"\nbase_url = "{url}"\n')

    with talking_to(llmcli, "providers", "login", "work", "--no-test") as session:
        session.until("API key for work")
        session.type(f"{KEY}\r")
        done = session.ended()

    assert done.status == 0
    assert b"the key of work was not tried" in done.out


@pytest.mark.parametrize(("typed", "status"), [("\x03", 130), ("\x04", 2)])
def test_who_thinks_better_of_it_leaves_the_terminal_as_it_was(
    llmcli: Program, openai: Server, typed: str, status: int
) -> None:
    with talking_to(llmcli, "providers", "login", "openai") as session:
        session.until("API key for OpenAI")
        session.type(typed)
        done = session.ended()
        assert session.echoes

    assert done.status == status
    assert b"Traceback" not in done.out
    assert not kept(llmcli).exists()


@pytest.mark.parametrize(
    ("stdin", "args", "status", "says"),
    [
        (b"", [], 4, "the key from stdin is empty"),
        (b"two words", [], 4, "the key from stdin holds blanks"),
        (b"\xff\xfe", [], 2, "what stands on stdin is no text"),
        (b"k" * 70_000, [], 2, "too long for a key"),
        (b"", ["--key-file", "/nonexistent"], 4, "cannot read the key file /nonexistent"),
        (b"", ["--key-command", "false"], 4, "the key command exited with 1"),
        (b"", ["--key-command", "true"], 4, "the key from the command is empty"),
        (b"", ["--key-command", "true", "--keyring"], 2, "--key-command keeps no key"),
    ],
)
def test_what_is_no_key_is_not_kept(
    llmcli: Program, openai: Server, stdin: bytes, args: list[str], status: int, says: str
) -> None:
    done = llmcli("providers", "login", "openai", *args, stdin=stdin)

    assert done.status == status
    assert says in done.err
    assert not kept(llmcli).exists()


def test_without_anybody_to_ask_and_without_stdin_there_is_no_key(sh: Shell) -> None:
    done = sh("llmcli providers login openai <&-")

    assert done.status == 2
    assert "there is nobody to ask for the key" in done.err


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [("opnai", 3, "did you mean openai?"), ("echo", 2, "echo takes no key"), ("../x", 2, "'../x' is no id")],
)
def test_who_takes_no_key_gets_none(llmcli: Program, name: str, status: int, says: str) -> None:
    done = llmcli("providers", "login", name, stdin=KEY.encode())

    assert done.status == status
    assert says in done.err
    assert not (llmcli.config / "keys").exists()


# --- trying it ------------------------------------------------------------------------------------


def test_a_key_that_is_refused_is_not_kept(llmcli: Program, openai: Server) -> None:
    done = llmcli("providers", "login", "openai", stdin=b"sk-of-somebody-else-99")

    assert done.status == 4
    assert "no such key" in done.err
    assert "hint: the key came from stdin" in done.err
    assert not kept(llmcli).exists()
    assert "sk-of-somebody-else-99" not in done.err


def test_a_key_that_was_kept_stays_when_another_is_refused(llmcli: Program, openai: Server) -> None:
    llmcli("providers", "login", "openai", stdin=KEY.encode())
    llmcli("providers", "login", "openai", stdin=b"sk-of-somebody-else-99")

    assert kept(llmcli).read_text() == f"{KEY}\n"


def test_a_key_that_cannot_be_tried_is_kept_only_when_that_is_said(llmcli: Program) -> None:
    llmcli.configure('[providers.openai]\nbase_url = "http://127.0.0.1:1"')

    done = llmcli("providers", "login", "openai", stdin=KEY.encode())
    assert done.status == 7
    assert "--no-test keeps it untried" in done.err
    assert not kept(llmcli).exists()

    done = llmcli("providers", "login", "openai", "--no-test", stdin=KEY.encode())
    assert done.status == 0
    assert "the key of OpenAI was not tried" in done.text
    assert kept(llmcli).read_text() == f"{KEY}\n"


def test_where_a_list_of_models_says_nothing_of_the_key_a_few_tokens_are_asked_for(
    llmcli: Program, serve: Serve
) -> None:
    server = serve(answers(200, {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}))
    llmcli.configure(f'[providers.perplexity]\nbase_url = "{server.url}"')

    done = llmcli("providers", "login", "perplexity", stdin=KEY.encode())

    assert done.status == 0, done.err
    assert "Perplexity accepts the key: sonar answers" in done.text
    assert json.loads(server.requests[0].body)["max_tokens"] == 16
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_key_for_a_public_address_is_not_sent_in_the_clear(llmcli: Program) -> None:
    llmcli.configure('[providers.openai]\nbase_url = "http://api.example.com/v1"')

    done = llmcli("providers", "login", "openai", stdin=KEY.encode())

    assert done.status == 2
    assert "refusing to send the key of openai over plain http" in done.err


# --- keeping it -----------------------------------------------------------------------------------


def test_a_variable_that_comes_first_is_told_of(llmcli: Program, openai: Server) -> None:
    done = llmcli("providers", "login", "openai", stdin=KEY.encode(), env={"OPENAI_API_KEY": "sk-in-the-environment"})

    assert done.status == 0
    assert "another key comes before the one that is kept now: environment OPENAI_API_KEY" in done.err


def test_a_key_is_in_one_place_only(llmcli: Program, openai: Server) -> None:
    """The last login holds, whatever an earlier one has left."""
    llmcli("providers", "login", "openai", "--key-command", f"echo {KEY}")
    assert llmcli("providers", "login", "openai", stdin=KEY.encode()).status == 0
    assert not (llmcli.config / "providers.d" / "openai.toml").exists()

    llmcli("providers", "login", "openai", "--key-command", f"echo {KEY}")
    assert not kept(llmcli).exists()


def test_what_else_stands_in_the_table_stays(llmcli: Program, serve: Serve) -> None:
    server = serve(takes(KEY))
    llmcli("providers", "add", "work", "--base-url", server.url, "--key-header", "Authorization", "--set",
           "api_key.scheme=Bearer")  # fmt: skip

    assert llmcli("providers", "login", "work", "--key-command", f"echo {KEY}").status == 0
    assert llmcli("providers", "logout", "work").status == 0

    table = tomllib.loads((llmcli.config / "providers.d" / "work.toml").read_text())["providers"]["work"]
    assert table["api_key"] == {"header": "Authorization", "scheme": "Bearer"}
    assert table["base_url"] == server.url


# --- losing it ------------------------------------------------------------------------------------


def test_a_key_is_forgotten(llmcli: Program, openai: Server) -> None:
    llmcli("providers", "login", "openai", stdin=KEY.encode())

    done = llmcli("providers", "logout", "openai")

    assert done.text == f"removed {kept(llmcli)}\n"
    assert llmcli("models", "list", "openai").status == 4
    assert llmcli("providers", "logout", "openai").text == "no key of openai is kept\n"


def test_who_is_logged_out_is_told_of_a_key_that_is_left(llmcli: Program, openai: Server) -> None:
    llmcli("providers", "login", "openai", stdin=KEY.encode())

    done = llmcli("providers", "logout", "openai", env={"OPENAI_API_KEY": "sk-in-the-environment"})

    assert done.err == "llmcli: openai still has a key: environment OPENAI_API_KEY\n"


def test_the_key_of_a_provider_that_is_gone_can_be_forgotten(llmcli: Program, serve: Serve) -> None:
    llmcli("providers", "add", "work", "--base-url", serve(takes(KEY)).url)
    llmcli("providers", "login", "work", stdin=KEY.encode())
    (llmcli.config / "providers.d" / "work.toml").unlink()

    assert llmcli("providers", "logout", "work").status == 0
    assert not kept(llmcli, "work").exists()
    assert llmcli("providers", "logout", "wrk").status == 3


# --- the keyring ----------------------------------------------------------------------------------

BACKEND = '''
import json, os
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    """Keeps what it is given in a file, as no real one would."""
    priority = 1
    path = os.environ["KEYRING_FILE"]

    def _read(self):
        return json.load(open(self.path)) if os.path.exists(self.path) else {}

    def get_password(self, service, username):
        return self._read().get(f"{service}/{username}")

    def set_password(self, service, username, password):
        json.dump({**self._read(), f"{service}/{username}": password}, open(self.path, "w"))

    def delete_password(self, service, username):
        kept = self._read()
        del kept[f"{service}/{username}"]
        json.dump(kept, open(self.path, "w"))
'''


@pytest.fixture
def keyring(llmcli: Program, tmp_path: Path) -> Path:
    """The file of a keyring that the library `keyring` is told to use."""
    (tmp_path / "file_keyring.py").write_text(BACKEND)
    llmcli.env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    llmcli.env["PYTHON_KEYRING_BACKEND"] = "file_keyring.Keyring"
    llmcli.env["KEYRING_FILE"] = str(tmp_path / "keyring.json")
    return tmp_path / "keyring.json"


def test_a_key_is_kept_in_the_keyring_and_nowhere_else(llmcli: Program, openai: Server, keyring: Path) -> None:
    done = llmcli("providers", "login", "openai", "--keyring", stdin=KEY.encode())

    assert done.status == 0, done.err
    assert json.loads(keyring.read_text()) == {"llmcli/openai": KEY}
    assert not kept(llmcli).exists()
    assert KEY not in (llmcli.config / "providers.d" / "openai.toml").read_text()
    assert llmcli("models", "list", "openai").status == 0

    assert "removed the key from the keyring" in llmcli("providers", "logout", "openai").text
    assert json.loads(keyring.read_text()) == {}
    assert llmcli("models", "list", "openai").status == 4


def test_a_keyring_that_has_lost_the_key_is_told_of(llmcli: Program, openai: Server, keyring: Path) -> None:
    llmcli("providers", "login", "openai", "--keyring", stdin=KEY.encode())
    keyring.unlink()

    done = llmcli("models", "list", "openai")

    assert done.status == 4
    assert "the keyring holds no key for openai" in done.err


def test_a_keyring_that_is_none_keeps_nothing(llmcli: Program, openai: Server) -> None:
    done = llmcli("providers", "login", "openai", "--keyring", stdin=KEY.encode(),
                  env={"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"})  # fmt: skip

    assert done.status == 3
    assert "the keyring does not answer" in done.err
    assert not (llmcli.config / "providers.d").exists()


def test_nobody_pays_for_a_keyring_that_is_not_used(llmcli: Program, openai: Server) -> None:
    llmcli("providers", "login", "openai", stdin=KEY.encode())

    done = llmcli("models", "list", "openai", env={"PYTHONPROFILEIMPORTTIME": "1"})

    assert done.status == 0
    assert " llmcli.keys\n" in done.err
    assert "keyring" not in done.err


# --- the guided first run -------------------------------------------------------------------------


def test_without_an_id_and_without_anybody_to_ask_it_says_what_to_say(llmcli: Program) -> None:
    done = llmcli("providers", "login", stdin=KEY.encode())

    assert done.status == 2
    assert "llmcli providers login ID" in done.err


def test_the_first_run_leads_from_nothing_to_an_answer(llmcli: Program, openai: Server) -> None:
    with talking_to(llmcli, "providers", "login", env={"OLLAMA_HOST": "127.0.0.1:1"}) as session:
        session.until("Which provider?")
        session.type("opnai\r")
        session.until("did you mean openai?")
        session.type("openai\r")
        session.until("API key for OpenAI (sk-...): ")
        session.type(f"{KEY}\r")
        session.until("Ask openai when no model is named? [Y/n]: ")
        session.type("\r")
        done = session.ended()

    assert done.status == 0
    assert b'llmcli chat "hello"' in done.out
    assert tomllib.loads((llmcli.config / "state.toml").read_text()) == {"default": "openai"}
    assert kept(llmcli).read_text() == f"{KEY}\n"


def test_the_first_run_offers_what_is_there(llmcli: Program) -> None:
    env = {"ANTHROPIC_API_KEY": "sk-ant-0123456789", "OLLAMA_HOST": "127.0.0.1:1"}
    with talking_to(llmcli, "providers", "login", env=env) as session:
        shown = session.until("Which provider?")
        assert "anthropic: " in shown
        assert "sk-ant" not in shown
        number = next(line for line in shown.splitlines() if "anthropic: " in line).split()[0]
        session.until("Its number or its id [1]: ")
        session.type(f"{number}\r" if number != "1" else "\r")
        session.until("Ask anthropic when no model is named? [Y/n]: ")
        session.type("n\r")
        done = session.ended()

    assert done.status == 0
    assert b"llmcli providers use anthropic" in done.out
    assert not (llmcli.config / "state.toml").exists()


@pytest.mark.parametrize("by", ["number", "id"])
def test_the_first_run_makes_a_server_of_this_machine_the_default(llmcli: Program, serve: Serve, by: str) -> None:
    server = serve(answers(200, {"models": [{"name": "llama3.2:3b"}]}))
    env = {"OLLAMA_HOST": f"127.0.0.1:{server.port}"}
    with talking_to(llmcli, "providers", "login", env=env) as session:
        shown = session.until("Which provider?")
        number = next(line for line in shown.splitlines() if "ollama: " in line).split()[0]
        session.type(f"{number if by == 'number' else 'ollama'}\r")
        session.until("Ask ollama/llama3.2:3b when no model is named? [Y/n]: ")
        session.type("y\r")
        done = session.ended()

    assert done.status == 0
    assert tomllib.loads((llmcli.config / "state.toml").read_text()) == {"default": "ollama/llama3.2:3b"}


# --- what a review has found ----------------------------------------------------------------------


def test_a_source_of_the_user_that_comes_first_is_told_of_and_its_command_is_not_shown(
    llmcli: Program, openai: Server
) -> None:
    with (llmcli.config / "config.toml").open("a") as file:
        file.write('\n[providers.openai.api_key]\ncommand = "echo sk-of-the-user-0123"\n')

    done = llmcli("providers", "login", "openai", stdin=KEY.encode())
    assert "another key comes before the one that is kept now: command echo ..." in done.err

    done = llmcli("providers", "logout", "openai")
    assert "openai still has a key: command echo ..." in done.err
    assert "sk-of-the-user" not in done.err


def test_the_key_file_of_a_table_gives_way_to_the_key_that_is_kept(
    llmcli: Program, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "old").write_text("sk-of-before")
    llmcli("providers", "add", "work", "--base-url", serve(takes(KEY)).url, "--set", f"api_key.file={tmp_path}/old")

    assert llmcli("providers", "login", "work", stdin=KEY.encode()).status == 0
    assert llmcli("models", "list", "work").status == 0


@pytest.mark.parametrize("broken", ["state.toml", "providers.d/openai.toml"])
def test_a_logout_that_fails_has_removed_nothing_unsaid(llmcli: Program, openai: Server, broken: str) -> None:
    llmcli("providers", "login", "openai", stdin=KEY.encode())
    (llmcli.config / "providers.d").mkdir(exist_ok=True)
    (llmcli.config / broken).write_text("[")

    done = llmcli("providers", "logout", "openai")

    assert kept(llmcli).exists() is (f"removed {kept(llmcli)}" not in done.text)


def test_a_key_command_that_prints_more_than_the_key_is_told_how_not_to(
    llmcli: Program, openai: Server, tmp_path: Path
) -> None:
    (tmp_path / "entry").write_text(f"{KEY}\nuser: ann\n")

    done = llmcli("providers", "login", "openai", "--key-command", f"cat {tmp_path}/entry")
    assert done.status == 4
    assert "hint: of several lines `sh -c '... | head -n 1'` prints the first" in done.err
    command = f"sh -c 'head -n 1 {tmp_path}/entry'"
    assert llmcli("providers", "login", "openai", "--key-command", command).status == 0


@pytest.mark.parametrize("command", ["echo 'half", "nobody-has-this | head"])
def test_who_takes_a_key_command_for_a_line_of_shell_is_told(llmcli: Program, openai: Server, command: str) -> None:
    done = llmcli("providers", "login", "openai", "--key-command", command)

    assert done.status == 4
    assert "no shell runs it" in done.err


def test_a_key_leaves_the_keyring_when_it_is_kept_elsewhere(llmcli: Program, openai: Server, keyring: Path) -> None:
    llmcli("providers", "login", "openai", "--keyring", stdin=KEY.encode())
    assert "removed the key from the keyring" in llmcli("providers", "login", "openai", stdin=KEY.encode()).text
    assert json.loads(keyring.read_text()) == {}

    llmcli("providers", "login", "openai", "--keyring", stdin=KEY.encode())
    assert "removed the key from the keyring" in llmcli("providers", "remove", "openai").text
    assert json.loads(keyring.read_text()) == {}


def test_a_folder_of_keys_that_cannot_be_looked_into_is_no_empty_one(sh: Shell, serve: Serve) -> None:
    sh.program.configure(f'[providers.openai]\nbase_url = "{serve(takes(KEY)).url}"')
    sh.program("providers", "login", "openai", stdin=KEY.encode())
    kept(sh.program).parent.chmod(0)

    done = sh(f"{AS_ANYBODY} llmcli models list openai")
    kept(sh.program).parent.chmod(0o700)

    assert done.status == 4
    assert "Permission denied" in done.err


def test_who_waits_at_stdin_for_a_key_is_told_so(sh: Shell) -> None:
    with sh.start("exec llmcli providers login openai", stdin=subprocess.PIPE) as process:
        assert b"waiting for the key on stdin" in read_until(process.stderr, b"stdin\n")


def test_what_is_typed_stays_unseen_after_a_stop(llmcli: Program, openai: Server) -> None:
    with talking_to(llmcli, "providers", "login", "openai") as session:
        session.until("API key for OpenAI (sk-...): ")
        session.show_typing()  # as a shell does that has the terminal meanwhile
        session.send(signal.SIGCONT)
        session.until("API key for OpenAI (sk-...): " * 1 + "API key for OpenAI (sk-...): ")
        assert not session.echoes
        session.type(f"{KEY}\r")
        done = session.ended()

    assert done.status == 0
    assert KEY.encode() not in done.out


def test_the_first_run_asks_for_a_model_where_the_provider_has_no_default(llmcli: Program) -> None:
    env = {"GROQ_API_KEY": "gsk_0123456789", "OLLAMA_HOST": "127.0.0.1:1"}
    with talking_to(llmcli, "providers", "login", env=env) as session:
        session.until("Which provider?")
        session.type("groq\r")
        session.until("Which model?")
        session.type("llama-3.1\r")
        session.until("Ask groq/llama-3.1 when no model is named?")
        session.type("\r")
        done = session.ended()

    assert done.status == 0
    assert tomllib.loads((llmcli.config / "state.toml").read_text()) == {"default": "groq/llama-3.1"}


def test_where_the_service_has_no_list_of_models_a_few_tokens_are_asked_for(llmcli: Program, serve: Serve) -> None:
    def without_a_list(connection: Connection) -> None:
        if connection.request.method == "GET":
            connection.send(whole(404, {"error": {"message": "no such path"}}))
        else:
            connection.send(whole(200, {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}))

    llmcli("providers", "add", "work", "--base-url", serve(without_a_list).url, "--default-model", "large")

    done = llmcli("providers", "login", "work", stdin=KEY.encode())

    assert done.status == 0, done.err
    assert "work accepts the key: large answers" in done.text


@pytest.mark.parametrize("how", [["--key-command", f"echo {KEY}"], []])
def test_who_has_just_logged_in_is_not_told_that_there_is_no_key(
    llmcli: Program, openai: Server, how: list[str]
) -> None:
    llmcli("providers", "login", "openai", *how, stdin=KEY.encode())

    assert llmcli("providers", "use", "openai").err == ""


def test_a_key_in_the_place_of_its_table_stops_a_logout_with_the_place(llmcli: Program, openai: Server) -> None:
    (llmcli.config / "providers.d").mkdir()
    text = '[providers.openai]\napi_key = "sk-in-the-wrong-place"\n'
    (llmcli.config / "providers.d" / "openai.toml").write_text(text)

    done = llmcli("providers", "logout", "openai")

    assert done.status == 3
    assert "providers.openai.api_key should be a table, not text" in done.err
    assert "sk-in-the-wrong-place" not in done.err
