"""
What goes wrong where the answer is written: rows 66 to 76 of the fault catalogue, through the real program, a real
shell, real signals and real terminals.
"""

import fcntl
import os
import pty
import shutil
import signal
import stat
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.program import COMMAND, PATIENCE, Program
from tests.servers import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    Connection,
    Server,
    answers,
    chunk,
    delta,
    finish,
    says,
    says_and_waits,
)
from tests.shell import AS_ANYBODY, Shell, catches, ended, eventually, read_until, watched

ECHO = ("chat", "-m", "echo", "-n")
STREAMING = ("--option", "fail=stall", "--", "one two three")  # says `one` and then nothing more
# Everything that writes to stdout, each by a way of its own.
WRITERS = [
    pytest.param(arguments, id=arguments)
    for arguments in (
        "chat -m echo -n hello",
        "chat -m echo -n --json hello",
        "chat -m openai -n --dry-run hello",
        "chat -m openai -n --curl hello",
        "models list echo",
        "health echo",
        "providers",
        "providers show echo",
        "chat --help",
        "--version",
    )
]


def asking(server: Server, *more: str) -> tuple[str, ...]:
    """The command line that asks an OpenAI-compatible server."""
    return ("chat", "-p", "openai-compatible", "-m", "m", "-n", "--retries", "0", "--base-url", server.url, *more, "hi")


@contextmanager
def running(program: Program, *args: str, **popen: Any) -> Iterator["subprocess.Popen[bytes]"]:
    with watched(program.start(*args, **popen)) as process:
        yield process


# --- 66: the reader goes away ---------------------------------------------------------------------


@pytest.mark.fault(66)
def test_head_ends_the_program_by_sigpipe_silently(sh: Shell, serve: Callable[..., Server]) -> None:
    def never_ends(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(delta("one\n")))
        try:
            while True:
                connection.send(chunk(delta("more\n")))
        finally:
            connection.gone.set()

    server = serve(never_ends)

    done = sh('llmcli "$@" | head -1', *asking(server))

    assert (done.status, done.text, done.err) == (141, "one\n", "")
    assert server.connections[0].gone.wait(PATIENCE), "the model goes on generating"


@pytest.mark.fault(66)
@pytest.mark.parametrize("arguments", WRITERS)
def test_whatever_is_printed_into_a_closed_pipe_ends_by_sigpipe(sh: Shell, arguments: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with sh.start(f"exec llmcli {arguments}", stdout=theirs) as process:
        os.close(theirs)
        done = ended(process)

    assert (done.status, done.err) == (141, "")


# --- 67, 68: stdout cannot be written -------------------------------------------------------------


@pytest.mark.fault(67)
@pytest.mark.parametrize("arguments", WRITERS)
def test_a_closed_stdout_is_an_error(sh: Shell, arguments: str) -> None:
    done = sh(f"llmcli {arguments} >&-")

    assert (done.status, done.err) == (11, "llmcli: stdout is closed\n")


@pytest.mark.fault(67)
def test_a_closed_stdout_is_not_replaced_by_the_next_file_that_is_opened(sh: Shell) -> None:
    assert sh("llmcli chat -m echo -n --log-file log hello >&- 2>&-").status == 11
    assert not (sh.home / "log").exists()


@pytest.mark.fault(68)
@pytest.mark.parametrize("arguments", WRITERS)
def test_a_full_disk_is_an_error(sh: Shell, arguments: str) -> None:
    done = sh(f"llmcli {arguments} >/dev/full")

    assert done.status == 11
    assert "No space left on device" in done.err
    assert "bug" not in done.err


@pytest.mark.fault(68)
@pytest.mark.parametrize("where", ["> answer", "-o answer"])
def test_an_answer_larger_than_the_file_may_be_is_an_error(sh: Shell, where: str) -> None:
    (sh.home / "prompt").write_text("word " * 10_000)

    done = sh(f"ulimit -f 8; llmcli chat -m echo {where} < prompt")

    assert done.status == 11
    assert "File too large" in done.err
    assert done.out == b""


@pytest.mark.fault(68)
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT"])
def test_whichever_write_fails_the_status_tells_whether_the_answer_is_whole(sh: Shell, error: str) -> None:
    """One run for each write of the program, in which that write fails, until there is none left to fail."""
    command = "llmcli chat -m echo -n --usage one two three"
    statuses = []
    for number in range(1, 50):
        trace = f"strace -f -o {sh.home}/trace -e trace=write -e inject=write:error={error}:when={number}"
        done = sh(f"{trace} -- {command}", env={"PYTHONDONTWRITEBYTECODE": "1"})
        if "ptrace" in done.err.lower():
            pytest.skip("strace is not allowed here")
        statuses.append(done.status)
        assert done.status in (0, 11)
        assert (done.text == "one two three") == (done.status == 0)
        if "(INJECTED)" not in (sh.home / "trace").read_text():
            break
    # Three words and the last line of stderr, at which a failure changes nothing; then a run without any.
    assert statuses == [11, 11, 11, 0, 0]


@pytest.mark.fault(68)
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_an_error_that_only_closing_tells_is_an_error(sh: Shell) -> None:
    """So do network file systems when the quota is used up."""
    trace = f"strace -f -o {sh.home}/trace -P {sh.home}/answer -e trace=close -e inject=close:error=EDQUOT"

    done = sh(f"{trace} -- llmcli chat -m echo -n hello > answer")
    if "ptrace" in done.err.lower():
        pytest.skip("strace is not allowed here")

    assert done.status == 11
    assert "Disk quota exceeded" in done.err


# --- 69: stderr -----------------------------------------------------------------------------------


@pytest.mark.fault(69)
@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", "2> >(exec <&-)"])
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("--usage -v hello", 0),
        ("--option fail=503 --retries 0 hello", 6),
        ("--option fail=cut hello world", 10),
        ("--option fail=crash hello", 1),
        ("--option thinking=hmm --show-thinking hello", 0),
        ("--nonsense hello", 2),
    ],
)
def test_a_stderr_that_cannot_be_written_changes_nothing(sh: Shell, arguments: str, status: int, stderr: str) -> None:
    command = f"llmcli chat -m echo -n {arguments}"
    usual = sh(command)

    done = sh(f"{command} {stderr}")

    assert usual.status == status
    assert (done.status, done.out) == (usual.status, usual.out)


# --- 70: a parent has made stdout non-blocking ----------------------------------------------------


@pytest.mark.fault(70)
def test_a_non_blocking_stdout_loses_nothing(llmcli: Program, tmp_path: Path) -> None:
    text = ("x" * 200_000 + " ") * 5
    (tmp_path / "prompt").write_text(text)
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with (
        open(tmp_path / "prompt") as prompt,
        running(llmcli, "chat", "-m", "echo", stdin=prompt, stdout=theirs) as process,
    ):
        os.close(theirs)
        eventually(lambda: _waiting(ours) == fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ))
        with open(ours, "rb") as pipe:
            answer = pipe.read()
        done = ended(process)

    assert (done.status, done.err) == (0, "")
    assert answer.decode() == text


def _waiting(fd: int) -> int:
    """How many bytes a pipe holds."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])


# --- 71: -o FILE ----------------------------------------------------------------------------------


@pytest.mark.fault(71)
def test_the_file_has_the_answer_and_stdout_has_nothing(sh: Shell) -> None:
    done = sh("umask 027; llmcli chat -m echo -n -o answer hello")

    assert (done.status, done.out, done.err) == (0, b"", "")
    assert (sh.home / "answer").read_text() == "hello"
    assert stat.S_IMODE((sh.home / "answer").stat().st_mode) == 0o640
    assert os.listdir(sh.home) == ["answer"]


@pytest.mark.fault(71)
@pytest.mark.parametrize("form", ["", "-x", "--json"])
def test_a_failure_leaves_a_file_that_was_there_as_it_was(sh: Shell, form: str) -> None:
    (sh.home / "answer").write_text("the old one")

    done = sh(f"llmcli chat -m echo -n -o answer {form} --option fail=500 --retries 0 hello")

    assert done.status == 8
    assert (sh.home / "answer").read_text() == "the old one"
    assert os.listdir(sh.home) == ["answer"]


@pytest.mark.fault(71)
def test_half_an_answer_stays_beside_the_file_as_part(sh: Shell) -> None:
    (sh.home / "answer").write_text("the old one")

    done = sh("llmcli chat -m echo -n -o answer --option fail=cut --option after=2 one two three")

    assert done.status == 10
    assert (sh.home / "answer").read_text() == "the old one"
    assert (sh.home / "answer.part").read_text() == "one two"
    assert sorted(os.listdir(sh.home)) == ["answer", "answer.part"]


@pytest.mark.fault(71)
def test_an_answer_that_strict_refuses_does_not_replace_the_file(sh: Shell) -> None:
    (sh.home / "answer").write_text("the old one")

    done = sh("llmcli chat -m echo -n -o answer --strict --max-tokens 1 one two")

    assert done.status == 12
    assert (sh.home / "answer").read_text() == "the old one"
    assert (sh.home / "answer.part").read_text() == "one"


@pytest.mark.fault(71)
def test_a_file_keeps_its_mode(sh: Shell) -> None:
    (sh.home / "answer").write_text("the old one")
    (sh.home / "answer").chmod(0o606)

    assert sh("llmcli chat -m echo -n -o answer hello").status == 0
    assert (sh.home / "answer").read_text() == "hello"
    assert stat.S_IMODE((sh.home / "answer").stat().st_mode) == 0o606


@pytest.mark.fault(71)
def test_a_link_stays_and_the_file_behind_it_is_written(sh: Shell) -> None:
    (sh.home / "real").write_text("the old one")
    (sh.home / "link").symlink_to("real")

    assert sh("llmcli chat -m echo -n -o link hello").status == 0
    assert (sh.home / "link").is_symlink()
    assert (sh.home / "real").read_text() == "hello"


@pytest.mark.fault(71)
@pytest.mark.parametrize(
    ("before", "file", "reason"),
    [
        ("mkdir folder", "folder", "it is a directory"),
        ("true", "missing/answer", "No such file or directory"),
        ("touch answer; chmod 400 answer", "answer", "it is read-only"),
        ("mkdir closed; chmod 500 closed", "closed/answer", "Permission denied"),
        ("true", "/dev/full", "No space left on device"),
    ],
)
def test_a_file_that_cannot_be_written_is_an_error(sh: Shell, before: str, file: str, reason: str) -> None:
    done = sh(f"{before}; exec {AS_ANYBODY} llmcli chat -m echo -n -o {file} hello")

    assert done.status == 11
    assert done.err == f"llmcli: cannot write {file}: {reason}\n"
    assert done.out == b""


@pytest.mark.fault(71)
def test_a_file_that_cannot_be_written_is_found_before_the_model_is_asked(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    server = serve(says("costly"))

    assert llmcli.chat(server.url, "-o", "missing/answer", "hi").status == 11
    assert server.accepted == 0


@pytest.mark.fault(71)
@pytest.mark.parametrize(
    "script",
    [
        "mkfifo pipe; cat pipe & llmcli chat -m echo -n -o pipe hello && wait",
        "llmcli chat -m echo -n -o >(cat) hello | cat",
        "llmcli chat -m echo -n -o /dev/stdout hello",
        "llmcli chat -m echo -n -o /dev/fd/3 hello 3>&1 >/dev/null | cat",
        "llmcli chat -m echo -n -o - hello",
    ],
)
def test_what_is_no_regular_file_is_written_to_directly(sh: Shell, script: str) -> None:
    done = sh(script)

    assert (done.status, done.text, done.err) == (0, "hello", "")
    assert set(os.listdir(sh.home)) <= {"pipe"}


@pytest.mark.fault(71)
def test_a_device_stays_a_device(sh: Shell) -> None:
    assert sh("llmcli chat -m echo -n -o /dev/null hello").status == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.fault(71)
def test_output_to_stdout_appends_where_the_shell_said_so(sh: Shell) -> None:
    assert sh("echo old > log; llmcli chat -m echo -n -o /dev/stdout hello >> log").status == 0
    assert (sh.home / "log").read_text() == "old\nhello"


# --- 72, 73, 75: signals --------------------------------------------------------------------------

ENDING = pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.fault(72)),
        pytest.param(signal.SIGTERM, marks=pytest.mark.fault(73)),
        pytest.param(signal.SIGHUP, marks=pytest.mark.fault(75)),
    ],
)


@ENDING
def test_a_signal_amid_the_answer_keeps_what_was_said_and_closes_the_connection(
    llmcli: Program, serve: Callable[..., Server], number: int
) -> None:
    server = serve(says_and_waits("one", " two"))
    with running(llmcli, *asking(server)) as process:
        said = read_until(process.stdout, b"one two")
        process.send_signal(number)
        done = ended(process)

    assert process.returncode == -number, "the shell must see a death by signal"
    assert (said + done.out, done.err) == (b"one two", "")
    assert server.connections[0].gone.wait(PATIENCE)


@ENDING
def test_a_signal_before_any_output_ends_the_program_at_once(
    llmcli: Program, serve: Callable[..., Server], number: int
) -> None:
    asked = threading.Event()

    def silent(connection: Connection) -> None:
        asked.set()
        connection.wait_until_gone()

    server = serve(silent)
    with running(llmcli, *asking(server)) as process:
        assert asked.wait(PATIENCE)
        assert not catches(process, number), "there is nothing to care for yet"
        process.send_signal(number)
        done = ended(process)

    assert process.returncode == -number
    assert (done.out, done.err) == (b"", "")
    assert server.connections[0].gone.wait(PATIENCE)


@ENDING
def test_a_signal_leaves_a_partial_file_as_part(llmcli: Program, number: int) -> None:
    (llmcli.home / "answer").write_text("the old one")
    with running(llmcli, *ECHO, "-o", "answer", *STREAMING) as process:
        eventually(lambda: [name for name in llmcli.home.glob(".answer.*.tmp") if name.read_text() == "one"])
        process.send_signal(number)
        done = ended(process)

    assert process.returncode == -number
    assert (done.out, done.err) == (b"", "")
    assert (llmcli.home / "answer").read_text() == "the old one"
    assert (llmcli.home / "answer.part").read_text() == "one"
    assert sorted(os.listdir(llmcli.home)) == ["answer", "answer.part"]


@pytest.mark.fault(72)
def test_a_signal_before_any_output_leaves_no_temporary_file(llmcli: Program) -> None:
    with running(llmcli, *ECHO, "-o", "answer", "--option", "fail=timeout", "hi") as process:
        eventually(lambda: catches(process, signal.SIGINT) and list(llmcli.home.glob(".answer.*.tmp")))
        process.send_signal(signal.SIGINT)
        ended(process)

    assert process.returncode == -signal.SIGINT
    assert os.listdir(llmcli.home) == []


@pytest.mark.fault(72)
def test_ctrl_c_on_a_terminal_leaves_the_prompt_a_line_of_its_own(llmcli: Program) -> None:
    with on_terminal(llmcli, *ECHO, "--raw", *STREAMING) as (process, terminal):
        read_until(terminal, b"one")
        os.write(terminal, b"\x03")
        rest = read_until(terminal, b"\n")
        process.wait(PATIENCE)

    assert process.returncode == -signal.SIGINT
    assert rest.replace(b"^C", b"") == b"\r\n"


@pytest.mark.fault(72)
def test_ctrl_c_ends_a_program_whose_reader_stands_still(llmcli: Program, tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text("x" * 200_000)
    ours, theirs = os.pipe()
    with (
        open(tmp_path / "prompt") as prompt,
        running(llmcli, "chat", "-m", "echo", stdin=prompt, stdout=theirs) as process,
    ):
        os.close(theirs)
        eventually(lambda: _waiting(ours) == fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ))
        process.send_signal(signal.SIGINT)
        done = ended(process)
    os.close(ours)

    assert process.returncode == -signal.SIGINT
    assert done.err == ""


@pytest.mark.fault(72)
def test_a_second_ctrl_c_ends_the_program_at_once(llmcli: Program) -> None:
    """On a terminal that takes nothing more (Ctrl-S) the newline after the first Ctrl-C cannot be written."""
    with on_terminal(llmcli, *ECHO, "--raw", *STREAMING) as (process, terminal):
        read_until(terminal, b"one")
        theirs = os.open(f"/proc/{process.pid}/fd/1", os.O_RDWR | os.O_NOCTTY)
        termios.tcflow(theirs, termios.TCOOFF)
        os.close(theirs)
        process.send_signal(signal.SIGINT)
        eventually(lambda: not catches(process, signal.SIGINT))
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)

    assert process.returncode == -signal.SIGINT


@contextmanager
def on_terminal(program: Program, *args: str, **popen: Any) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The program with a terminal of its own as its stdout: the process, and our end of the terminal."""
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    # A new session whose controlling terminal this becomes, so that Ctrl-C and hanging up reach it.
    launch = f"import os, sys; os.close(os.open({name!r}, os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", launch, *COMMAND, *args],
        env={**program.env, "TERM": "xterm"}, cwd=program.home, stdout=theirs, start_new_session=True,
        **{"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **popen},
    )  # fmt: skip
    os.close(theirs)
    with watched(process):
        yield process, ours
    with suppress(OSError):  # the test may have hung up
        os.close(ours)


# --- 74: signals that the parent ignores ----------------------------------------------------------


@pytest.mark.fault(74)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_that_the_parent_ignores_stays_ignored(sh: Shell, serve: Callable[..., Server], number: int) -> None:
    """As in `nohup llmcli ...` and `llmcli ... &` in a script."""
    go_on = threading.Event()

    def script(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(delta("one")))
        go_on.wait(PATIENCE)
        for data in (delta(" two"), finish(), DONE):
            connection.send(chunk(data))
        connection.send(LAST_CHUNK)

    server = serve(script)
    with sh.start(f"trap '' {number}; exec llmcli \"$@\"", *asking(server)) as process:
        said = read_until(process.stdout, b"one")
        process.send_signal(number)
        go_on.set()
        done = ended(process)

    assert (done.status, said + done.out, done.err) == (0, b"one two", "")


# --- 75: the terminal is gone ---------------------------------------------------------------------


@pytest.mark.fault(75)
def test_hanging_up_ends_the_program_by_sighup(llmcli: Program) -> None:
    with on_terminal(llmcli, *ECHO, "--raw", *STREAMING) as (process, terminal):
        read_until(terminal, b"one")
        os.close(terminal)
        process.wait(PATIENCE)

    assert process.returncode == -signal.SIGHUP


@pytest.mark.fault(75)
def test_under_nohup_a_terminal_that_is_gone_is_an_output_error(llmcli: Program, serve: Callable[..., Server]) -> None:
    hung_up = threading.Event()

    def script(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(delta("one")))
        hung_up.wait(PATIENCE)
        connection.send(chunk(delta(" two")))
        connection.wait_until_gone()

    server = serve(script)
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with on_terminal(llmcli, *asking(server, "--raw"), stderr=subprocess.PIPE) as (process, terminal):
            read_until(terminal, b"one")
            os.close(terminal)
            hung_up.set()
            done = ended(process)
    finally:
        signal.signal(signal.SIGHUP, old)

    assert done.status == 11
    assert "cannot write to stdout: Input/output error" in done.err


# --- 76: stopped and continued --------------------------------------------------------------------


@pytest.mark.fault(76)
def test_a_job_that_was_stopped_longer_than_the_idle_timeout_has_not_stalled(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    """Ctrl-Z and fg, or a laptop that slept: what came meanwhile is read, and the clock starts anew."""
    idle = 0.5
    stopped = threading.Event()

    def script(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(delta("one")))
        stopped.wait(PATIENCE)
        for data in (delta(" two"), finish(), DONE):
            connection.send(chunk(data))
        connection.send(LAST_CHUNK)

    server = serve(script)
    with running(llmcli, *asking(server, "--idle-timeout", str(idle))) as process:
        said = read_until(process.stdout, b"one")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        stopped.set()
        time.sleep(2 * idle)  # this is what is tested: time that passes while the job stands still
        process.send_signal(signal.SIGCONT)
        done = ended(process)

    assert (done.status, said + done.out, done.err) == (0, b"one two", "")


@pytest.mark.fault(76)
def test_a_job_that_goes_on_to_find_a_dead_server_says_so(llmcli: Program, serve: Callable[..., Server]) -> None:
    idle = 0.5
    server = serve(says_and_waits("one"))
    with running(llmcli, *asking(server, "--idle-timeout", str(idle))) as process:
        said = read_until(process.stdout, b"one")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        time.sleep(2 * idle)
        process.send_signal(signal.SIGCONT)
        done = ended(process)

    assert (done.status, said + done.out) == (10, b"one")
    assert "stalled" in done.err


@pytest.mark.fault(72)
def test_an_error_amid_the_answer_leaves_the_terminal_a_line_of_its_own_too(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    server = serve(answers(500, {"error": {"message": "no"}}))
    with on_terminal(llmcli, *ECHO, "--raw", "--option", "fail=cut", "one two") as (process, terminal):
        assert read_until(terminal, b"\n") == b"one\r\n"
        process.wait(PATIENCE)
    with on_terminal(llmcli, *asking(server)) as (process, terminal):
        process.wait(PATIENCE)
        assert _waiting(terminal) == 0, "where nothing was said there is no line to end"


def test_what_is_left_of_another_answer_is_never_taken_for_a_part_of_this_one(llmcli: Program) -> None:
    part = llmcli.home / "a.txt.part"
    for option, status in (("fail=429", 6), ("fail=cut", 10), ("rounds=1", 0)):
        part.write_text("yesterday's")
        done = llmcli("chat", "-n", "-m", "echo", "--retries", "0", "--json", "--option", option, "-o", "a.txt", "hi")
        assert done.status == status
        assert not part.exists()


def test_an_output_file_without_a_name_is_a_mistake(llmcli: Program) -> None:
    done = llmcli("chat", "-n", "-m", "echo", "-o", "", "hi")

    assert (done.status, done.out) == (2, b"")
