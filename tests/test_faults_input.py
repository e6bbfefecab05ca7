"""
What goes wrong with the prompt, the environment and the configuration: rows 77 to 98 of the fault catalogue, through
the real program and a real shell.

Not here: 87 (writers of the configuration at the same time), for no command writes any yet; 92 (clock skew), for no
timer looks at the wall clock, and what TLS says about dates is tested with the connection faults; 93 (Windows), which
needs a Windows; 95 (fork and threads), which concerns plugins.
"""

import errno
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.program import PATIENCE, Program
from tests.servers import STREAM_HEAD, Connection, Server, answers, chunk, delta, says, says_and_waits
from tests.shell import AS_ANYBODY, Shell, ended, read_until, watched
from tests.terminal import on_terminal

# --- 77, 78: stdin is closed or a terminal --------------------------------------------------------


@pytest.mark.fault(77)
def test_a_closed_stdin_is_not_needed_when_there_is_a_prompt(sh: Shell) -> None:
    done = sh("llmcli chat -m echo hello <&-")

    assert (done.status, done.text, done.err) == (0, "hello", "")


@pytest.mark.fault(77)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "the prompt is empty"),
        ("-", "stdin is closed"),
        ("-f -", "stdin is closed"),
        ("'{stdin}'", "stdin is closed"),
    ],
)
def test_a_closed_stdin_that_is_needed_is_said(sh: Shell, arguments: str, message: str) -> None:
    done = sh(f"llmcli chat -m echo {arguments} <&-")

    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith(f"llmcli: {message}\n")


@pytest.mark.fault(77)
def test_a_file_does_not_become_stdin_when_that_is_closed(sh: Shell) -> None:
    (sh.home / "notes").write_text("from the file")

    done = sh("llmcli chat -m echo --log-file log -f notes hello <&-")

    assert done.text == 'hello\n\n<file name="notes">\nfrom the file\n</file>'


@pytest.mark.fault(78)
def test_a_terminal_without_a_prompt_whose_answer_goes_into_a_pipe_is_told_how_it_is_done(llmcli: Program) -> None:
    ours, theirs = pty.openpty()
    done = llmcli("chat", "-m", "echo", stdin_file=theirs)
    os.close(theirs)
    os.close(ours)

    assert (done.status, done.out) == (2, b"")
    assert done.err == (
        'llmcli: the prompt is empty\nhint: llmcli chat "why is the sky blue?", or pipe a text into it\n'
    )


@pytest.mark.fault(78)
def test_a_terminal_is_not_read_when_there_is_a_prompt(llmcli: Program) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"typed ahead\n")
    done = on_terminal(llmcli, "chat", "-m", "echo", "--format", "text", "hello", stdin=theirs)
    os.close(theirs)
    os.close(ours)

    assert (done.status, done.text) == (0, "hello\n")


# --- 79: a pipe into which nobody writes ----------------------------------------------------------


@pytest.mark.fault(79)
def test_an_idle_pipe_is_left_alone_with_no_stdin(llmcli: Program) -> None:
    """As cron, ssh and CI hand one down."""
    with watched(llmcli.start("chat", "-m", "echo", "-n", "hello", stdin=subprocess.PIPE)) as process:
        assert read_until(process.stdout, b"hello") == b"hello"
        process.wait(PATIENCE)

    assert process.returncode == 0


@pytest.mark.fault(79)
def test_an_idle_pipe_is_waited_for_but_not_silently(llmcli: Program) -> None:
    with watched(llmcli.start("chat", "-m", "echo", "hello", stdin=subprocess.PIPE)) as process:
        notice = read_until(process.stderr, b"\n")
        assert process.stdin is not None
        process.stdin.write(b"at last")
        process.stdin.close()
        process.stdin = None  # nothing is left to send
        done = ended(process)

    assert notice == b"llmcli: waiting for stdin (-n leaves it alone)\n"
    assert (done.status, done.text, done.err) == (0, "hello\n\nat last", "")


@pytest.mark.fault(79)
@pytest.mark.parametrize("how", ["flag", "environment", "configuration"])
def test_the_total_timeout_covers_the_wait_for_stdin(llmcli: Program, how: str) -> None:
    if how == "configuration":
        llmcli.configure("[timeouts]\ntotal = 0.3\n")
    arguments = ("--timeout", "0.3") if how == "flag" else ()
    env = {"LLMCLI_TIMEOUT": "0.3"} if how == "environment" else {}
    with watched(llmcli.start("chat", "-m", "echo", *arguments, "hello", env=env, stdin=subprocess.PIPE)) as process:
        assert process.wait(PATIENCE) == 2
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() == b""
        assert process.stderr.read() == b"llmcli: nothing more came from stdin within the total timeout of 0.3 s\n"


@pytest.mark.fault(79)
def test_a_while_read_loop_keeps_its_input(sh: Shell) -> None:
    done = sh(r'printf "one\ntwo\nthree\n" | while read -r line; do llmcli chat -n -m echo -- "$line"; echo; done')

    assert (done.status, done.text, done.err) == (0, "one\ntwo\nthree\n", "")


# --- 80: what is no text --------------------------------------------------------------------------

NO_TEXT = [
    pytest.param(b"caf\xe9 au lait", 3, id="latin1"),
    pytest.param("hi".encode("utf-16"), 0, id="utf16"),
    pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(64), 0, id="png"),
    pytest.param(b"cut in a letter \xe2\x82", 16, id="cut"),
    pytest.param(b"surrogate \xed\xa0\x80", 10, id="surrogate"),
    pytest.param(b"\xef\xbb\xbfBOM \xff", 7, id="bom"),
]


@pytest.mark.fault(80)
@pytest.mark.parametrize(("data", "byte"), NO_TEXT)
def test_stdin_that_is_no_text_is_refused_with_the_byte(llmcli: Program, data: bytes, byte: int) -> None:
    done = llmcli("chat", "-m", "echo", stdin=data)

    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith(f"llmcli: stdin is not UTF-8 (byte {byte})\n")


@pytest.mark.fault(80)
@pytest.mark.parametrize(("data", "byte"), NO_TEXT)
def test_a_file_that_is_no_text_is_refused_with_the_byte(llmcli: Program, data: bytes, byte: int) -> None:
    (llmcli.home / "data").write_bytes(data)

    done = llmcli("chat", "-m", "echo", "-n", "-f", "data")

    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith(f"llmcli: data is not UTF-8 (byte {byte})\n")


@pytest.mark.fault(80)
@pytest.mark.parametrize("arguments", ["", "-f -", "-f /dev/zero"])
def test_an_endless_input_ends_at_the_limit(sh: Shell, arguments: str) -> None:
    done = sh(f"llmcli chat -m echo {arguments} < /dev/zero")

    assert (done.status, done.out) == (2, b"")
    assert "is longer than the limit of 100 MB" in done.err


@pytest.mark.fault(80)
def test_a_large_input_is_never_cut(llmcli: Program) -> None:
    text = "ü" * 2_000_000

    assert llmcli("chat", "-m", "echo", stdin=text.encode()).text == text


@pytest.mark.fault(80)
@pytest.mark.parametrize(
    "arguments",
    [
        (b"caf\xe9",),
        (b"-s", b"caf\xe9", b"hi"),
        (b"--stop", b"caf\xe9", b"hi"),
        (b"--option", b"user=caf\xe9", b"hi"),
        (b"-m", b"openai/caf\xe9", b"hi"),
    ],
)
def test_an_argument_that_is_no_text_is_a_usage_error(llmcli: Program, arguments: tuple[bytes, ...]) -> None:
    done = llmcli("chat", "-m", "openai", "-n", "--dry-run", *map(os.fsdecode, arguments))

    assert (done.status, done.out) == (2, b"")
    assert "is not UTF-8" in done.err


# --- 81 to 83: prompts ----------------------------------------------------------------------------


@pytest.mark.fault(81)
@pytest.mark.parametrize("prompt", ["-5 + 3 = ?", "--help", "-", "--", "-m", "-n please"])
def test_a_prompt_that_begins_with_a_hyphen_stands_after_two_or_on_stdin(sh: Shell, prompt: str) -> None:
    if prompt != "-":  # which is stdin, as everywhere
        assert sh('llmcli chat -n -m echo -- "$1"', prompt).text == prompt
    assert sh('printf %s "$1" | llmcli chat -m echo', prompt).text == prompt


@pytest.mark.fault(81)
@pytest.mark.parametrize("prompt", ["-5 + 3 = ?", "--what is this"])
def test_an_unknown_option_is_told_how_a_prompt_is_written(sh: Shell, prompt: str) -> None:
    done = sh('llmcli chat -n -m echo "$1"', prompt)

    assert (done.status, done.out) == (2, b"")
    assert 'hint: a prompt that begins with `-` is written after `--`: llmcli chat -- "$prompt"' in done.err


@pytest.mark.fault(82)
def test_a_prompt_too_long_for_an_argument_goes_through_stdin_or_a_file(llmcli: Program) -> None:
    """The system takes no argument of more than 128 kB; a shell then says `Argument list too long`, status 126."""
    text = "x" * 200_000
    (llmcli.home / "prompt").write_text(text)
    with pytest.raises(OSError, check=lambda exc: exc.errno == errno.E2BIG):
        llmcli("chat", "-m", "echo", "-n", text)

    assert llmcli("chat", "-m", "echo", stdin=text.encode()).text == text
    assert text in llmcli("chat", "-m", "echo", "-n", "-f", "prompt").text


@pytest.mark.fault(83)
@pytest.mark.parametrize("prompt", [(), ("",), ("", ""), (" \t\n",), ("\N{NO-BREAK SPACE}",)])
@pytest.mark.parametrize("stdin", [b"", b"\n\n", b" "])
def test_an_empty_prompt_is_not_sent(llmcli: Program, prompt: tuple[str, ...], stdin: bytes) -> None:
    done = llmcli("chat", "-m", "echo", "--", *prompt, stdin=stdin)

    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith("llmcli: the prompt is empty\n")


@pytest.mark.fault(83)
@pytest.mark.parametrize("arguments", [(), ("explain",), ("explain {stdin}",), ("-f", "-")])
def test_a_nul_character_is_not_sent(llmcli: Program, arguments: tuple[str, ...]) -> None:
    done = llmcli("chat", "-m", "echo", *arguments, stdin=b"a\0b")

    assert (done.status, done.out) == (2, b"")
    assert done.err == "llmcli: the prompt holds a NUL character, which no model accepts\n"


# --- 84, 85: homes and folders --------------------------------------------------------------------


@pytest.mark.fault(84)
@pytest.mark.parametrize(
    "home", ["unset HOME XDG_CONFIG_HOME", "unset XDG_CONFIG_HOME; HOME=/nonexistent", "HOME= XDG_CONFIG_HOME=", "cd /"]
)
def test_no_home_is_needed(sh: Shell, home: str) -> None:
    done = sh(f"{home}; llmcli chat -m echo -n hello")

    assert (done.status, done.text, done.err) == (0, "hello", "")


@pytest.mark.fault(84)
def test_a_folder_that_was_deleted_under_us_is_no_matter(sh: Shell) -> None:
    done = sh("mkdir gone; cd gone; rmdir ../gone; llmcli chat -m echo -n hello")

    assert (done.status, done.text) == (0, "hello")
    assert "llmcli" not in done.err, "only the shell may complain"


@pytest.mark.fault(84)
@pytest.mark.parametrize("relative", ["", ".", "config"])
def test_a_relative_configuration_folder_is_not_read(sh: Shell, relative: str) -> None:
    """It would be a file of whoever wrote the current directory."""
    for folder in ("llmcli", "config/llmcli"):
        (sh.home / folder).mkdir(parents=True)
        (sh.home / folder / "config.toml").write_text("this = is not = TOML")

    done = sh(f"HOME=/nonexistent XDG_CONFIG_HOME={relative} llmcli chat -m echo -n hello")

    assert (done.status, done.text, done.err) == (0, "hello", "")


@pytest.mark.fault(85)
def test_nothing_is_written_into_the_configuration(sh: Shell) -> None:
    sh.program.configure('default = "echo"')
    sh.program.config.chmod(0o500)

    done = sh(f"exec {AS_ANYBODY} llmcli chat -n hello")

    assert (done.status, done.text, done.err) == (0, "hello", "")
    assert os.listdir(sh.program.config) == ["config.toml"]


@pytest.mark.fault(85)
def test_a_configuration_that_may_not_be_read_is_not_passed_over(sh: Shell) -> None:
    sh.program.configure('default = "echo"')
    path = sh.program.config / "config.toml"
    path.chmod(0)

    done = sh(f"exec {AS_ANYBODY} llmcli chat -n hello")

    assert done.status == 3
    assert done.err.startswith(f"llmcli: cannot read {path}: Permission denied\nhint: ")


@pytest.mark.fault(85)
@pytest.mark.parametrize(
    ("log", "reason"),
    [("/dev/full", "No space left on device"), (".", "Is a directory"), ("missing/log", "No such file or directory")],
)
def test_a_log_that_cannot_be_written_costs_a_warning_and_not_the_answer(sh: Shell, log: str, reason: str) -> None:
    done = sh(f"llmcli chat -m echo -n --log-file {log} hello")

    assert (done.status, done.text) == (0, "hello")
    assert done.err.startswith("llmcli: warning: cannot write the log")
    assert done.err.endswith(f"{reason}\n")
    assert done.err.count("\n") == 1
    assert sh(f"llmcli chat -m echo -n -q --log-file {log} hello").err == ""


# --- 86: a configuration that is wrong ------------------------------------------------------------

WRONG = [
    ('default = "echo"\nx = [', "is not valid TOML", None),
    ('default = "echo"\n\nx = = 1', "is not valid TOML: Invalid value (at line 3, column 5)", None),
    ("default = 'caf\xe9'", "is not valid TOML", None),
    ('defualt = "echo"', "unknown key defualt", "default"),
    ("[chatt]", "unknown key chatt", "chat"),
    ("[chat]\nretrys = 1", "unknown key chat.retrys", "retries"),
    ("[timeouts]\nidel = 1", "unknown key timeouts.idel", "idle"),
    ("default = 5", "default should be text, not a number", None),
    ("default = 2026-11-22", "default should be text, not a date or time", None),
    ("aliases = 5", "aliases should be a table, not a number", None),
    ("[aliases]\nfast = 5", "aliases.fast should be text, not a number", None),
    ("chat = []", "chat should be a table, not a list", None),
    ('[chat]\nretries = "two"', "chat.retries should be a number, not text", None),
    ("[chat]\nretries = true", "chat.retries should be a number, not true or false", None),
    ("[chat]\nstrict = 1", "chat.strict should be true or false, not a number", None),
    ("[chat]\nfallback = [1]", "chat.fallback.1 should be text, not a number", None),
    ('[chat]\nformat = "yaml"', "chat.format should be one of text, markdown, json, jsonl, not 'yaml'", None),
    ('[chat]\ncolor = "red"', "chat.color should be auto, always or never, not 'red'", None),
    ("providers = 5", "providers should be a table, not a number", None),
    ("[providers]\necho = 5", "providers.echo should be a table, not a number", None),
    ("[providers.echo]\nadapter = 5", "providers.echo.adapter should be text, not a number", None),
    ('[providers.echo]\nadapter = "ecco"', "providers.echo.adapter: unknown provider 'ecco'", "echo"),
    ('[providers.echo]\nbase_ulr = "x"', "unknown key providers.echo.base_ulr", "base_url"),
    ("[providers.echo.settings]\ntemprature = 1", "unknown key providers.echo.settings.temprature", "temperature"),
    ("[providers.echo.settings]\nstop = [5]", "providers.echo.settings.stop.1 should be text, not a number", None),
    ("[providers.echo.timeouts]\nidel = 1", "unknown key providers.echo.timeouts.idel", "idle"),
    ("[providers.echo.models]\necho = 5", "providers.echo.models.echo should be a table, not a number", None),
    ('[providers.echo.models.x]\nbase_ulr = "x"', "unknown key providers.echo.models.x.base_ulr", "base_url"),
    ('[providers.echo.api_key]\nenvironment = "K"', "unknown key providers.echo.api_key.environment", None),
]


@pytest.mark.fault(86)
@pytest.mark.parametrize(("text", "message", "near"), WRONG, ids=[text for text, _, _ in WRONG])
def test_a_mistake_in_the_configuration_is_named(llmcli: Program, text: str, message: str, near: str | None) -> None:
    llmcli.config.mkdir(parents=True)
    path = llmcli.config / "config.toml"
    path.write_bytes(text.encode("latin-1"))

    done = llmcli("chat", "-m", "echo", "-n", "hello")

    assert (done.status, done.out) == (3, b"")
    assert done.err.startswith("llmcli: ")
    assert message in done.err
    if "adapter: " not in message and "chat." not in message[:5]:
        assert str(path) in done.err
    if near is not None:
        assert f"hint: did you mean {near}?" in done.err
    assert path.read_bytes() == text.encode("latin-1")


@pytest.mark.fault(86)
@pytest.mark.parametrize("text", ["x = [", "defualt = 1", "aliases = 5"])
@pytest.mark.parametrize(
    "command", ["chat -m echo -n --no-config hello", "--help", "chat --help", "--version", "providers"]
)
def test_a_wrong_configuration_does_not_stop_what_does_not_need_it(llmcli: Program, text: str, command: str) -> None:
    llmcli.configure(text)

    done = llmcli(*command.split())

    assert done.status == 0
    assert done.out != b""


@pytest.mark.fault(86)
@pytest.mark.parametrize("table", ["openai = 5", "openai = {base_ulr = 5}", 'openai = {adapter = "nobody"}'])
def test_a_mistake_in_a_provider_that_is_not_used_does_not_stop_another(llmcli: Program, table: str) -> None:
    llmcli.configure(f"[providers]\n{table}")

    assert llmcli("chat", "-m", "echo", "-n", "hello").text == "hello"
    assert llmcli("providers").status == 0
    assert llmcli("models", "list", "echo").text == "echo/echo\n"


@pytest.mark.fault(86)
def test_a_configuration_that_is_named_must_exist(llmcli: Program) -> None:
    done = llmcli("chat", "-m", "echo", "-n", "--config", "missing.toml", "hello")

    assert (done.status, done.err) == (3, "llmcli: cannot read missing.toml: No such file or directory\n")


# --- 88 to 90: keys -------------------------------------------------------------------------------

KEY = "sk-canary-0123456789"


@pytest.mark.fault(88)
def test_a_key_file_that_others_may_read_is_used_with_a_warning(llmcli: Program, serve: Callable[..., Server]) -> None:
    server = serve(says("hello"))
    path = llmcli.home / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o644)

    done = llmcli.chat(server.url, "--api-key-file", str(path), "hi")

    assert (done.status, done.text) == (0, "hello")
    assert done.err == f"llmcli: warning: others can read the key file {path}; `chmod 600 {path}` mends that\n"
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    path.chmod(0o600)
    assert llmcli.chat(server.url, "--api-key-file", str(path), "hi").err == ""


@pytest.mark.fault(88)
def test_a_file_with_the_name_of_a_variable_is_no_key_file(llmcli: Program) -> None:
    (llmcli.home / "OPENAI_API_KEY").touch(0o644)

    done = llmcli("chat", "-m", "openai", "-n", "--dry-run", "hi", env={"OPENAI_API_KEY": KEY})

    assert (done.status, done.err) == (0, "")


@pytest.mark.fault(89)
@pytest.mark.parametrize("inner", ["\n", "\r\n", "\r", " ", "\t", "\x07", "é", "\N{ZERO WIDTH SPACE}", "“"])
@pytest.mark.parametrize("source", ["OPENAI_API_KEY", "--api-key-file key", "api_key.command"])
def test_a_key_that_no_header_can_hold_is_refused_by_its_source(llmcli: Program, source: str, inner: str) -> None:
    key = f"sk-canary{inner}0123456789"
    (llmcli.home / "key").write_text(key, newline="")
    (llmcli.home / "key").chmod(0o600)
    if source == "api_key.command":
        llmcli.configure('[providers.openai]\napi_key = { command = "cat key" }')
    arguments = ("--api-key-file", "key") if source.startswith("--") else ()
    env = {"OPENAI_API_KEY": key} if source == "OPENAI_API_KEY" else {}

    done = llmcli("chat", "-m", "openai", "-n", *arguments, "hi", env=env)

    assert (done.status, done.out) == (4, b"")
    assert done.err.splitlines()[0] == f"llmcli: the key from {source} holds blanks, control or non-ASCII characters"


@pytest.mark.fault(89)
@pytest.mark.parametrize("space", ["\n", "\r\n", " \t\n"])
def test_white_space_around_a_key_is_no_part_of_it(llmcli: Program, serve: Callable[..., Server], space: str) -> None:
    server = serve(says("hello"))
    (llmcli.home / "key").write_bytes(f"{space}{KEY}{space}".encode())
    (llmcli.home / "key").chmod(0o600)

    assert llmcli.chat(server.url, "--api-key-file", "key", "hi").status == 0
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.fault(90)
@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_a_key_variable_that_is_empty_is_said_and_no_other_key_is_taken(llmcli: Program, empty: str) -> None:
    llmcli.configure('[providers.openai]\napi_key = { command = "echo sk-of-another-account" }')
    azure = {"AZURE_OPENAI_API_KEY": empty, "AZURE_API_KEY": KEY, "AZURE_OPENAI_ENDPOINT": "https://a.example"}

    first = llmcli("chat", "-m", "openai", "-n", "hi", env={"OPENAI_API_KEY": empty})
    second = llmcli("chat", "-m", "azure/x", "-n", "hi", env=azure)

    assert (first.status, first.out) == (4, b"")
    assert first.err == "llmcli: OPENAI_API_KEY is set but empty [provider=openai]\n"
    assert (second.status, second.out) == (4, b"")
    assert second.err == "llmcli: AZURE_OPENAI_API_KEY is set but empty [provider=azure]\n"


@pytest.mark.fault(90)
@pytest.mark.parametrize("command", ["true", "false", "", "no-such-command", "'unbalanced", "printf '\\377'"])
def test_a_key_command_that_yields_no_key_is_an_authentication_error(llmcli: Program, command: str) -> None:
    llmcli.configure(f"[providers.openai]\napi_key = {{ command = {json.dumps(command)} }}")

    done = llmcli("chat", "-m", "openai", "-n", "hi")

    assert (done.status, done.out) == (4, b"")
    assert "key" in done.err
    assert "bug" not in done.err


# --- 91: locales ----------------------------------------------------------------------------------


@pytest.mark.fault(91)
@pytest.mark.parametrize(
    "locale",
    [
        "LC_ALL=C",
        "LC_ALL=C PYTHONIOENCODING=ascii",
        "LC_ALL=POSIX PYTHONIOENCODING=cp1252",
        "LANG= PYTHONUTF8=0 PYTHONCOERCECLOCALE=0",
        "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0",
    ],
)
def test_text_is_utf8_whatever_the_locale_says(sh: Shell, locale: str) -> None:
    text = "grüße, 世界 🌍"

    assert sh(f'{locale} llmcli chat -m echo -n -- "$1"', text).text == text
    assert sh(f'printf %s "$1" | {locale} llmcli chat -m echo', text).text == text
    assert json.loads(sh(f'{locale} llmcli chat -m echo -n --json -- "$1"', text).out)["content"] == text
    assert sh(f'{locale} llmcli chat -m echo -n -o out -- "$1"; cat out', text).text == text
    assert sh(f"{locale} llmcli chat --help").out == sh("llmcli chat --help").out


# --- 94: many at once -----------------------------------------------------------------------------


@pytest.mark.fault(94)
def test_thirty_two_at_once_do_not_disturb_one_another(sh: Shell, serve: Callable[..., Server]) -> None:
    server = serve(says("yes"))
    ask = f"llmcli chat -p openai-compatible --base-url {server.url} -m m -n --log-file log -o"

    done = sh(f"seq 64 | xargs -P 32 -I N {ask} answer.N N")

    assert (done.status, done.out, done.err) == (0, b"", "")
    assert all((sh.home / f"answer.{number}").read_text() == "yes" for number in range(1, 65))
    assert len(server.requests) == 64
    events = [json.loads(line)["event"] for line in (sh.home / "log").read_text().splitlines()]
    assert events.count("answer") == 64


# --- 96: limits of the system ---------------------------------------------------------------------


@pytest.mark.fault(96)
def test_with_too_few_files_an_answer_is_whole_or_an_error(sh: Shell, serve: Callable[..., Server]) -> None:
    server = serve(says("one", " two"))
    ask = f"llmcli chat -p openai-compatible --base-url {server.url} -m m -n --retries 0 hi"
    statuses = set()
    for files in range(3, 17):
        done = sh(f"ulimit -n {files}; exec {ask}")
        statuses.add(done.status)
        assert (done.text == "one two") == (done.status == 0)
        assert done.err or done.status == 0
        assert "bug" not in done.err
    assert 0 in statuses
    assert sh(f"ulimit -n 16; exec {ask}").status == 0


@pytest.mark.fault(96)
@pytest.mark.parametrize("arguments", ["", "--json", "-o answer"])
def test_without_memory_the_text_is_clear_and_nothing_is_passed_off_as_whole(sh: Shell, arguments: str) -> None:
    with open(sh.home / "prompt", "wb") as prompt:
        prompt.truncate(1)
        prompt.seek(0)
        prompt.write(b"word " * 12_000_000)

    done = sh(f"ulimit -v 600000; exec llmcli chat -m echo {arguments} < prompt")

    assert (done.status, done.out) == (1, b"")
    if arguments == "--json":
        assert done.error["message"] == "out of memory"
    else:
        assert done.err == "llmcli: out of memory\nhint: see `ulimit -v`; a shorter prompt needs less\n"
    assert not (sh.home / "answer").exists()


# --- 97: Python's own switches --------------------------------------------------------------------


def python(program: Program, *switches: str, cwd: Path | None = None, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *switches, "-m", "llmcli", "chat", "-m", "echo", "-n", "--json", "hello"],
        env={**program.env, **env}, cwd=cwd or program.home, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.fixture
def poison(tmp_path: Path) -> Path:
    """A folder with modules that are named like those that the program uses, and that end it."""
    folder = tmp_path / "poison"
    folder.mkdir()
    for name in ("json", "typer", "httpcore", "ssl", "re", "select", "llmcli"):
        (folder / f"{name}.py").write_text("raise SystemExit('poisoned')")
    return folder


@pytest.mark.fault(97)
@pytest.mark.parametrize("switches", ["-O", "-OO", "-B", "-E", "-s", "-W error", "-X dev", "-bb"])
def test_switches_of_python_change_nothing(llmcli: Program, switches: str) -> None:
    if "-E" in switches and not _is_installed():
        pytest.skip("without PYTHONPATH llmcli is found only where it is installed")
    done = python(llmcli, *switches.split())

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["content"] == "hello"


@pytest.mark.fault(97)
def test_no_control_flow_hangs_on_an_assertion() -> None:
    """They are gone with -O."""
    import ast

    package = Path(__file__).parent.parent / "llmcli"
    for path in set(package.rglob("*.py")) - set((package / "templates").rglob("test_*.py")):
        asserts = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
        assert asserts == [], path


@pytest.mark.fault(97)
def test_isolated_python_is_safe_from_a_poisoned_path_and_folder(llmcli: Program, poison: Path) -> None:
    if not _is_installed():
        pytest.skip("needs an installed llmcli")
    done = python(llmcli, "-I", cwd=poison, PYTHONPATH=str(poison))

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["content"] == "hello"


@pytest.mark.fault(97)
def test_the_installed_command_imports_nothing_from_the_current_folder(llmcli: Program, poison: Path) -> None:
    command = Path(sys.executable).parent / "llmcli"
    if not command.exists():
        pytest.skip("needs an installed llmcli")
    done = subprocess.run(
        [command, "chat", "-m", "echo", "-n", "--json", "hello"],
        env=llmcli.env, cwd=poison, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        timeout=PATIENCE, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["content"] == "hello"


def _is_installed() -> bool:
    found = subprocess.run([sys.executable, "-I", "-c", "import llmcli"], capture_output=True, cwd="/", check=False)
    return found.returncode == 0


# --- 98: the total timeout ------------------------------------------------------------------------


def silent(connection: Connection) -> None:
    connection.wait_until_gone()


@pytest.mark.fault(98)
def test_the_total_timeout_before_the_first_byte_is_a_network_error(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    server = serve(silent)

    done = llmcli.chat(server.url, "--timeout", "1", "hi")

    assert (done.status, done.out) == (7, b"")
    assert "the total timeout of 1 s passed" in done.err
    assert server.connections[0].gone.wait(PATIENCE)


@pytest.mark.fault(98)
def test_the_total_timeout_after_the_first_byte_leaves_an_incomplete_answer(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    server = serve(says_and_waits("one"))

    done = llmcli.chat(server.url, "--timeout", "1", "hi")

    assert (done.status, done.text) == (10, "one")
    assert "the total timeout of 1 s passed" in done.err
    assert server.connections[0].gone.wait(PATIENCE)


@pytest.mark.fault(98)
def test_the_total_timeout_ends_a_stream_that_never_pauses(llmcli: Program, serve: Callable[..., Server]) -> None:
    def chatty(connection: Connection) -> None:
        connection.send(STREAM_HEAD)
        while True:
            connection.send(chunk(delta("on and ")))

    server = serve(chatty)

    done = llmcli.chat(server.url, "--timeout", "1", "hi")

    assert done.status == 10
    assert done.text.startswith("on and on and ")
    assert "the total timeout of 1 s passed" in done.err


@pytest.mark.fault(98)
def test_no_retry_is_waited_for_beyond_the_total_timeout(llmcli: Program, serve: Callable[..., Server]) -> None:
    """The server asks for half a minute; to wait two seconds of it would help nobody."""
    server = serve(answers(503, {"error": {"message": "busy"}}, Retry_After="30"))

    done = llmcli.chat(server.url, "--retries", "5", "--timeout", "2", "hi")

    assert (done.status, done.out) == (6, b"")
    assert server.accepted == 1
    assert "trying again" not in done.err


@pytest.mark.fault(98)
def test_all_retries_together_end_with_the_total_timeout(llmcli: Program, serve: Callable[..., Server]) -> None:
    server = serve(answers(503, {"error": {"message": "busy"}}, Retry_After="0"), silent)

    done = llmcli.chat(server.url, "--retries", "9", "--timeout", "1", "hi")

    assert (done.status, done.out) == (7, b"")
    assert server.accepted == 2
    assert "the total timeout of 1 s passed" in done.err
