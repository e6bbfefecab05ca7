"""
llmcli beside a plain script that does the same with httpx: one table, ratios first.

    python benchmarks/run.py [--only NAME] [--runs N]

Measures the `llmcli` command that stands next to the Python that runs this. See README.md for what each row means.
"""

import argparse
import compileall
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from answers import PIECE, answer_size
from listing import configuration, listing
from measure import Command, Comparison, Cost, compare, run

_HERE = os.path.dirname(os.path.abspath(__file__))
_BIN = os.path.dirname(sys.executable)
_COMPLETION = os.path.join(os.path.dirname(_HERE), "completions", "llmcli.bash")
_MB = 1024 * 1024
_PROMPT = "why is the sky blue?"
_STDIN_SIZE = 50 * _MB
_SMALL, _LARGE = 10 * _MB, 1024 * _MB  # answers whose peak memory should be the same
_RATE_TOKENS = 100_000
_TAB = 0.03  # seconds that a TAB may take


# The format that the mock server speaks, as a table.
_TABLE = """
[providers.table]
adapter = "http"
[providers.table.chat]
path = "/chat/completions"
request = "{model: model, messages: messages}"
content = "choices[0].message.content"
model = "model"
usage = "usage"
finish_reason = "choices[0].finish_reason"
[providers.table.stream]
request = "{stream: `true`}"
delta = "choices[0].delta.content"
end = "[DONE]"
"""

_BY_TEXT = b'[providers.openai]\ntools = "text"\n'
_TOOL = b"def add(a: int, b: int) -> int:\n    return a + b\n"

_PROVIDERS = 10
_DEADLINE = 1.0  # seconds for each list of models
_OVER = 0.3

_PLUGINS = 50
# What pip leaves of a plugin, with a description as long as they are.
_METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: plugin-{number}\nVersion: 1.0\nSummary: Plugin number {number}\n\n"
    + 200 * "A line of a description, as long as lines are.\n",
    "entry_points.txt": "[llmcli.providers]\np{number} = plugin_{number}:It\n"
    "[llmcli.commands]\nc{number} = plugin_{number}:main\n",
}

Maker = Callable[[str, int], "Command"]


class Row(NamedTuple):
    """One line of the table, ready to print."""

    what: str
    ours: str
    plain: str
    ratio: str
    aim: str
    reached: bool


class Bench:
    """What every row needs: the server's address, the two commands, and how often to run them."""

    def __init__(self, ports: dict[str, int], folder: str, runs: int) -> None:
        self._ports = ports
        self._folder = folder
        self._env = {
            "PATH": f"{_BIN}:{os.environ.get('PATH', os.defpath)}",
            "HOME": folder,  # no configuration of the user's
            "LANG": "C.UTF-8",
            "OPENAI_API_KEY": "benchmark",
        }
        self._prompt = self.file("prompt", len(_PROMPT), _PROMPT.encode())
        self.runs = runs
        self.fastest = 0.0  # tokens per second that any client has read

    def file(self, name: str, size: int, text: bytes) -> str:
        """A file of so many bytes, in which the text is repeated."""
        path = os.path.join(self._folder, name)
        with open(path, "wb") as file:
            for start in range(0, size, len(text)):
                file.write(text[: size - start])
        return path

    def keep_lists(self, providers: Sequence[str], models: int) -> None:
        """Lists of models as `llmcli models refresh` keeps them."""
        folder = os.path.join(self._folder, ".cache", "llmcli", "models")
        os.makedirs(folder)
        for provider in providers:
            with open(os.path.join(folder, f"{provider}.txt"), "w") as file:
                file.writelines(f"{provider}/vendor/model-{number}-instruct\n" for number in range(models))

    def command(self, *argv: str) -> Command:
        """A command that reads nothing and may write anything."""
        return Command(argv, self._env)

    def ours(self, kind: str, count: int, *, scheme: str = "http", stdin: str | None = None) -> Command:
        """`llmcli chat` that streams one answer."""
        trust = ("--ca-bundle", self._ca_file) if scheme == "https" else ()
        base_url = self._base_url(kind, count, scheme)
        argv = (f"{_BIN}/llmcli", "chat", "-p", "openai", "-m", "benchmark", "--base-url", base_url, *trust)
        return Command(argv, self._env, stdin or self._prompt, answer_size(kind, count))

    def by_table(self, kind: str, count: int) -> Command:
        """The same as `ours` for a provider that is a table of the configuration."""
        path = os.path.join(self._folder, "table.toml")
        with open(path, "w") as file:
            file.write(_TABLE)
        argv = (f"{_BIN}/llmcli", "chat", "--config", path, "-p", "table", "-m", "benchmark")
        base_url = self._base_url(kind, count, "http")
        return Command((*argv, "--base-url", base_url), self._env, self._prompt, answer_size(kind, count))

    def with_tool(self, kind: str, count: int) -> Command:
        """The same as `ours`, with a tool that the model is told of by text: each piece is looked through for calls."""
        ours = self.ours(kind, count)
        config = self.file("by-text.toml", len(_BY_TEXT), _BY_TEXT)
        return ours._replace(argv=(*ours.argv, "--config", config, "--tool", self.tool_file(), "--yes"))

    def kept(self, kind: str, count: int) -> Command:
        """The same as `ours`, kept as a session."""
        ours = self.ours(kind, count)
        return ours._replace(argv=(*ours.argv, "--session", f"{kind}-{count}-{time.monotonic_ns()}"))

    def tool_file(self) -> str:
        """A Python file with one tool."""
        return self.file("add.py", len(_TOOL), _TOOL)

    def with_plugins(self, count: int, *args: str) -> Command:
        """`llmcli` where so many distributions are installed that each add a provider and a command."""
        site = os.path.join(self._folder, f"plugins-{count}")
        for number in range(count):
            info = os.path.join(site, f"plugin_{number}-1.0.dist-info")
            os.makedirs(info, exist_ok=True)
            for path, text in {f"{site}/plugin_{number}.py": "raise SystemExit", **_METADATA}.items():
                with open(os.path.join(info, path), "w") as file:
                    file.write(text.format(number=number))
        os.makedirs(site, exist_ok=True)
        return Command((f"{_BIN}/llmcli", *args), {**self._env, "PYTHONPATH": site})

    def plain(self, kind: str, count: int, *, scheme: str = "http", stdin: str | None = None) -> Command:
        """`plain.py` that streams the same answer."""
        trust = (self._ca_file,) if scheme == "https" else ()
        url = f"{self._base_url(kind, count, scheme)}/chat/completions"
        argv = (sys.executable, f"{_HERE}/plain.py", url, *trust)
        return Command(argv, self._env, stdin or self._prompt, answer_size(kind, count))

    def server_rate(self) -> float:
        """Tokens per second that the server sends to a reader that looks at nothing."""
        with socket.create_connection(("127.0.0.1", self._ports["http"])) as connection:
            connection.sendall(b"GET /tokens/%d/ HTTP/1.1\r\n\r\n" % _RATE_TOKENS)
            buffer = bytearray(_MB)
            tail = b""
            started = time.perf_counter()
            while not tail.endswith(b"\r\n0\r\n\r\n"):
                size = connection.recv_into(buffer)
                tail = (tail + buffer[max(0, size - 8) : size])[-8:]
            return _RATE_TOKENS / (time.perf_counter() - started)

    def _base_url(self, kind: str, count: int, scheme: str) -> str:
        return f"{scheme}://127.0.0.1:{self._ports[scheme]}/{kind}/{count}"

    @property
    def _ca_file(self) -> str:
        return f"{self._folder}/ca.pem"


# --- rows -----------------------------------------------------------------------------------------


def one_shot(bench: Bench) -> Row:
    """Wall time of a whole call that streams 20 tokens, from loopback: nearly all of it is start-up."""
    return _wall("one-shot, 20 tokens, http", bench.ours("tokens", 20), bench.plain("tokens", 20), 0.85, bench)


def one_shot_https(bench: Bench) -> Row:
    """The same with TLS, verified against one CA certificate in a file."""
    ours, plain = (make("tokens", 20, scheme="https") for make in (bench.ours, bench.plain))
    return _wall("one-shot, 20 tokens, https", ours, plain, 0.9, bench)


def version(bench: Bench) -> Row:
    """Wall time of `llmcli --version`, beside only importing httpx."""
    ours = bench.command(f"{_BIN}/llmcli", "--version")
    plain = bench.command(sys.executable, "-c", "import httpx")
    return _wall("--version, beside `import httpx`", ours, plain, 0.65, bench)


def tab(bench: Bench) -> Row:
    """Wall time of a whole bash that completes an option of chat, beside `llmcli --version`."""
    found = _tab(bench, "llmcli chat --fo", 1)
    return _row("a TAB in bash, beside `llmcli --version`: wall", found, "{:.0f} ms", 1e3, 1.0)


def tab_model(bench: Bench) -> Row:
    """The same for a model, of which there are 2,000, of a provider that has 200 of them."""
    bench.keep_lists([f"provider-{number}" for number in range(10)], 200)
    found = _tab(bench, "llmcli chat -m provider-9/vendor/", 200)
    row = _row("the same for a model, of 2,000: wall", found, "{:.1f} ms", 1e3, 1.0)
    return row._replace(aim=f"{_TAB * 1e3:.0f} ms", reached=found.ours <= _TAB)


def _tab(bench: Bench, line: str, offered: int) -> Comparison:
    *before, last = line.split()
    script = (
        f"source {_COMPLETION}; COMP_LINE='{line}' COMP_POINT={len(line)}; "
        f"COMP_WORDS=({line}) COMP_CWORD={len(before)}; _llmcli llmcli {last} {before[-1]}; "
        f"(( ${{#COMPREPLY[@]}} == {offered} ))"
    )
    ours = bench.command("/bin/bash", "-c", script)
    version = bench.command(f"{_BIN}/llmcli", "--version")
    return compare(lambda: run(ours).wall, lambda: run(version).wall, bench.runs)


def tokens_10k(bench: Bench) -> Row:
    """CPU time per token of a long answer."""
    return _cpu_per_token(bench, 10_000)


def tokens_100k(bench: Bench) -> Row:
    """CPU time per token of a very long answer: the same, unless something grows."""
    return _cpu_per_token(bench, 100_000)


def declarative(bench: Bench) -> Row:
    """CPU time per token of a very long answer read by expressions, beside the built-in adapter."""
    what = "100,000 tokens by a table, beside the built-in: CPU per token"
    return _cpu_per_token(bench, 100_000, what, (bench.by_table, bench.ours), 2.0)


def markdown(bench: Bench) -> Row:
    """CPU time per token of a long answer that is drawn as Markdown on a terminal, beside the same there as text."""

    def on_terminal(*more: str) -> Maker:
        def make(kind: str, count: int) -> Command:
            ours = bench.ours("markdown", count)
            env = {**ours.env, "TERM": "xterm-256color"}
            return Command((*ours.argv, *more), env, ours.stdin, terminal=True)

        return make

    what = "5,000 tokens of Markdown on a terminal, beside text: CPU per token"
    return _cpu_per_token(bench, 5_000, what, (on_terminal(), on_terminal("--raw")), 10.0)


def tools_text(bench: Bench) -> Row:
    """CPU time per token of a long answer in which calls of tools are looked for, beside none offered."""
    what = "100,000 tokens, tools told by text, beside none: CPU per token"
    return _cpu_per_token(bench, 100_000, what, (bench.with_tool, bench.ours), 2.0)


def session(bench: Bench) -> Row:
    """CPU time per token of a long answer that is kept, beside one that is not."""
    what = "100,000 tokens, kept as a session, beside not: CPU per token"
    return _cpu_per_token(bench, 100_000, what, (bench.kept, bench.ours), 1.5)


def tool_file(bench: Bench) -> Row:
    """Wall time of a chat with the built-in echo that has the tools of a Python file, beside none."""
    chat = (f"{_BIN}/llmcli", "chat", "-n", "-m", "echo", "hi")
    tool = bench.command(*chat, "--tool", bench.tool_file(), "--yes")
    return _wall("chat with a Python file of tools, beside none", tool, bench.command(*chat), 2.5, bench)


def plugins_chat(bench: Bench) -> Row:
    """Wall time of a chat with the built-in echo where 50 plugins are installed, beside none."""
    return _beside_no_plugins(bench, 1.1, "chat", "-n", "-m", "echo", "hi")


def plugins_list(bench: Bench) -> Row:
    """Wall time of the list of providers, in which the 50 plugins stand."""
    return _beside_no_plugins(bench, 1.1, "providers")


def plugins_help(bench: Bench) -> Row:
    """Wall time of the help, in which the 50 commands of the plugins stand."""
    return _beside_no_plugins(bench, 1.1, "--help")


def _beside_no_plugins(bench: Bench, aim: float, *args: str) -> Row:
    many, none = (bench.with_plugins(count, *args) for count in (_PLUGINS, 0))
    return _wall(f"{args[0]}, {_PLUGINS} plugins, beside none", many, none, aim, bench)


def models_dead(bench: Bench) -> Row:
    """How much longer than the deadline of the one that is silent a list of ten providers takes."""
    with listing() as urls:
        config = configuration(*urls, _PROVIDERS).encode()
        path = bench.file("lists.toml", len(config), config)
        script = f"{_BIN}/llmcli models list --config {path} --timeout {_DEADLINE} 2>/dev/null; [ $? = 7 ]"
        found = compare(lambda: run(bench.command("/bin/sh", "-c", script)).wall, lambda: _DEADLINE, min(bench.runs, 5))
    over = found.ours - _DEADLINE
    what = f"models of {_PROVIDERS} providers, one silent for {_DEADLINE} s: wall"
    return Row(what, f"{found.ours:.2f} s", "-", f"+{over:.2f} s", f"<= +{_OVER} s", over <= _OVER)


def memory(bench: Bench) -> Row:
    """How much higher the peak memory is for an answer of 1 GB than for one of 10 MB."""

    def peaks(make: Callable[[str, int], Command]) -> tuple[int, int]:
        return run(make("pieces", _SMALL // PIECE)).peak, run(make("pieces", _LARGE // PIECE)).peak

    ours, plain = peaks(bench.ours), peaks(bench.plain)
    growth = ours[1] - ours[0]
    shown, beside = (f"{_mb(small)} -> {_mb(large)}" for small, large in (ours, plain))
    what = "peak memory, 10 MB -> 1 GB answer"
    return Row(what, shown, beside, f"{growth / _MB:+.1f} MB", "<= +5 MB", growth <= 5 * _MB)


def stdin(bench: Bench) -> Row:
    """The peak memory of a call whose prompt is 50 MB of stdin."""
    file = bench.file("large", _STDIN_SIZE, b"A line of a log that somebody pipes to a model, with \xc3\xa9 in it.\n")
    ours, plain = (run(make("tokens", 20, stdin=file)).peak for make in (bench.ours, bench.plain))
    factor = ours / _STDIN_SIZE
    return Row("peak memory, 50 MB of stdin", _mb(ours), _mb(plain), f"{factor:.1f} x stdin", "<= 5 x", factor <= 5)


ROWS: dict[str, Callable[[Bench], Row]] = {
    "one-shot": one_shot,
    "https": one_shot_https,
    "version": version,
    "tab": tab,
    "tab-model": tab_model,
    "tokens-10k": tokens_10k,
    "tokens-100k": tokens_100k,
    "declarative": declarative,
    "markdown": markdown,
    "plugins-chat": plugins_chat,
    "tools-text": tools_text,
    "session": session,
    "tool-file": tool_file,
    "plugins-list": plugins_list,
    "plugins-help": plugins_help,
    "models-dead": models_dead,
    "memory": memory,
    "stdin": stdin,
}


def _wall(what: str, ours: Command, plain: Command, aim: float, bench: Bench) -> Row:
    found = compare(lambda: run(ours).wall, lambda: run(plain).wall, bench.runs)
    return _row(f"{what}: wall", found, "{:.0f} ms", 1e3, aim)


def _cpu_per_token(
    bench: Bench, count: int, what: str = "", makers: tuple[Maker, Maker] | None = None, aim: float = 1.0
) -> Row:
    """User and system time of the whole run less that of a 20-token run right before it, by token."""

    def cost_of(make: Maker) -> Callable[[], float]:
        return lambda: -run(make("tokens", 20)).cpu + _noted(bench, count, run(make("tokens", count))).cpu

    ours, beside = makers or (bench.ours, bench.plain)
    found = compare(cost_of(ours), cost_of(beside), bench.runs)
    return _row(what or f"{count:,} tokens: CPU per token", found, "{:.1f} us", 1e6 / count, aim)


def _noted(bench: Bench, count: int, cost: Cost) -> Cost:
    bench.fastest = max(bench.fastest, count / cost.wall)
    return cost


def _row(what: str, found: Comparison, form: str, factor: float, aim: float) -> Row:
    ours, plain = (form.format(value * factor) for value in (found.ours, found.plain))
    return Row(what, ours, plain, f"{found.ratio:.2f}", f"<= {aim:.2f}", found.ratio <= aim)


def _mb(size: int) -> str:
    return f"{size / _MB:.1f} MB"


# --- the run --------------------------------------------------------------------------------------


@contextmanager
def serving(folder: str) -> Iterator[dict[str, int]]:
    """The mock server in a process of its own; yields its ports by scheme."""
    argv = (sys.executable, f"{_HERE}/server.py", f"{folder}/ca.pem")
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:  # leaving closes its stdin, which ends it
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the mock server did not start")
        yield json.loads(line)


def compile_package() -> None:
    """Write the .pyc files that an editable install lacks; without them every start would compile the program."""
    found = importlib.util.find_spec("llmcli")
    if not os.path.exists(f"{_BIN}/llmcli") or found is None or found.origin is None:
        raise SystemExit(f"no llmcli next to {sys.executable}: install it there first")
    if not compileall.compile_dir(os.path.dirname(found.origin), quiet=2):
        print("warning: llmcli's .pyc files are missing and cannot be written; its start-up is not what users see")


def show(rows: list[Row]) -> None:
    """Print the table, each column as wide as it needs to be."""
    table = [("what", "ours", "plain httpx", "ratio", "aim", "reached")]
    table += [(*row[:5], "yes" if row.reached else "NO") for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show_server(bench: Bench) -> None:
    """Show that the server was not what the clients waited for."""
    rate = max(bench.server_rate() for _ in range(3))
    line = f"The mock server alone sends {rate:,.0f} tokens/s"
    if bench.fastest:
        line += f", {rate / bench.fastest:.0f} times what the fastest client read ({bench.fastest:,.0f} tokens/s)"
    print(f"\n{line}.")


def main() -> None:
    """Measure the rows that are wanted."""
    parser = argparse.ArgumentParser(description="llmcli beside a plain httpx script, side by side.")
    parser.add_argument("--only", metavar="NAME", choices=ROWS, action="append", help=f"one of {', '.join(ROWS)}")
    parser.add_argument("--runs", metavar="N", type=int, default=15, help="pairs of runs for each time (15)")
    options = parser.parse_args()
    compile_package()
    with tempfile.TemporaryDirectory() as folder, serving(folder) as ports:
        bench = Bench(ports, folder, max(1, options.runs))
        show([ROWS[name](bench) for name in options.only or ROWS])
        show_server(bench)


if __name__ == "__main__":
    main()
