"""
Plugins are guests: real little distributions, installed by pip, most of them broken. Each hurts only itself and says
whose fault it is.
"""

import inspect
import json
import locale
import logging
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli import guests
from llmcli.provider import HTTPProvider, NativeProvider, Provider
from tests.packages import Environment, Package, provider
from tests.program import Done, Program, shell_status
from tests.servers import Server, answers, completion, delta, finish, says, stream

ANSWERS = """
def stream(self, request, call):
    yield TextDelta("heard: " + request.messages[-1].text)
    yield Finish("stop")
"""


def package(name: str, code: str, **more: Any) -> Package:
    """A distribution `llmcli-NAME` whose provider NAME is its class `It`."""
    return Package(f"llmcli-{name}", code, providers={name: f"llmcli_{name}:It"}, **more)


def answering(name: str, *, before: str = "", more: str = "") -> Package:
    """One that answers, and does something else besides."""
    return package(name, provider("It", name, ANSWERS + more, before=before))


GOOD = answering("good")._replace(version="1.2", summary="Good answers")

HANGING = "import sys, time; print('importing', file=sys.stderr, flush=True); time.sleep(3600)"

# What each does wrong before it is asked anything, and what is said of it.
BROKEN = [
    pytest.param(package("nothere", "import nosuchmodule"), "ModuleNotFoundError: No module named 'nosuchmodule'",
                 "PYTHON -m pip install nosuchmodule", marks=[pytest.mark.fault(99), pytest.mark.fault(105)]),
    pytest.param(package("importerror", "raise ImportError('the first line\\nthe second')"),
                 "ImportError: the first line", None, marks=pytest.mark.fault(99)),
    pytest.param(package("exits", "raise SystemExit(0)"), "SystemExit: 0", None, marks=pytest.mark.fault(99)),
    pytest.param(package("interrupts", "raise KeyboardInterrupt"), "KeyboardInterrupt", None,
                 marks=pytest.mark.fault(99)),
    pytest.param(package("newer", "import llmcli.not_yet"), "ModuleNotFoundError: No module named 'llmcli.not_yet'",
                 "it may be made for another llmcli: upgrade llmcli or llmcli-newer", marks=pytest.mark.fault(106)),
    pytest.param(package("noclass", "It = 5"), "is no Provider class, but int", None, marks=pytest.mark.fault(101)),
    pytest.param(package("renamed", provider("It", "other", ANSWERS)), "has no provider renamed, but other",
                 'under [project.entry-points."llmcli.providers"] its author writes other = "llmcli_renamed:It"',
                 marks=pytest.mark.fault(101)),
    pytest.param(package("facts", provider("It", "facts", "capabilities = {'chat': True}")),
                 "has capabilities = {'chat': True}, which should be a Capabilities", None,
                 marks=pytest.mark.fault(101)),
    pytest.param(package("kinds", provider("It", "kinds", "attachments = ('image/png',)")),
                 "which should be a mapping of media types to numbers of bytes", None, marks=pytest.mark.fault(101)),
    pytest.param(package("keyenv", provider("It", "keyenv", "api_key = ApiKey(env=('KEY'))")),
                 "which should be an ApiKey whose env is a tuple of texts", None, marks=pytest.mark.fault(101)),
    pytest.param(package("envnumber", provider("It", "envnumber", "from llmcli.provider import ConfigKey\n"
                         "config_keys = {'k': ConfigKey('h', env=5)}")),
                 "which should be a mapping of names to ConfigKey", None, marks=pytest.mark.fault(101)),
    pytest.param(package("mintext", provider("It", "mintext", "from llmcli.provider import Setting\n"
                         "settings = {'temperature': Setting(min='a')}")),
                 "which should be a mapping of names to Setting", None, marks=pytest.mark.fault(101)),
    pytest.param(package("neither", provider("It", "neither", "pass", base="Provider")),
                 "has a class that is no HTTPProvider and no NativeProvider", None, marks=pytest.mark.fault(101)),
    pytest.param(package("contract", provider("It", "contract", "api_version = 2\ndef __init__(self): 1/0")),
                 "needs contract 2, this llmcli has 1", "upgrade llmcli", marks=pytest.mark.fault(106)),
    pytest.param(package("init", provider("It", "init", "def __init__(self, config): raise ValueError('no')")),
                 "cannot be configured: ValueError: no", None, marks=pytest.mark.fault(100)),
    pytest.param(package("leaves", provider("It", "leaves", "def __init__(self, config): sys.exit(0)")),
                 "cannot be configured: SystemExit: 0", None, marks=pytest.mark.fault(100)),
    pytest.param(package("nosuper", provider("It", "nosuper", "def __init__(self, config): pass")),
                 "does not call super().__init__(config)", None, marks=pytest.mark.fault(100)),
    pytest.param(package("abstract", provider("It", "abstract", "__new__ = lambda cls, config: 1 / 0")),
                 "cannot be configured: ZeroDivisionError: division by zero", None, marks=pytest.mark.fault(100)),
    pytest.param(package("handler", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"),
                 "ValueError: signal only works in main thread",
                 "a plugin must not set signal handlers; its author should be told", marks=pytest.mark.fault(103)),
    pytest.param(package("hangs", HANGING),
                 "cannot be loaded: its import takes longer than 2 s", "LLMCLI_PLUGIN_TIMEOUT gives it more",
                 marks=pytest.mark.fault(102)),
]  # fmt: skip

STALE = answering("stale")
TWICE = [answering("twice"), Package("other.twice", provider("It", "twice", ANSWERS), {"twice": "other.twice:It"})]
CLAIMS = [
    TWICE[0],
    Package("other-twice", provider("It", "twice", ANSWERS), {"twice": "other_twice:It"}, version="2"),
    Package("evil-echo", provider("It", "echo", ANSWERS), {"echo": "evil_echo:It"}),
]
SEVERAL = Package(
    "llmcli-several",
    provider("One", "one", ANSWERS) + provider("Two", "two", ANSWERS) + "def providers(): return [One, Two]",
    dict.fromkeys(("one", "two", "three"), "llmcli_several:providers"),
)

# What a native provider does wrong when it is asked, by the name of the model.
WRONG = """
def __init__(self, config):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    super().__init__(config)

def stream(self, request, call):
    return {
        "none": lambda: None,
        "number": lambda: 5,
        "raises": lambda: {}["what"],
        "refuses": lambda: self.refuse(),
        "vague": lambda: self.vague(),
        "hangs": lambda: time.sleep(3600),
    }.get(request.model, lambda: self.events(request.model, call))()

def refuse(self):
    raise RequestRejected("no, says the plugin")

def vague(self):
    class Vague(LlmError): pass
    raise Vague("something")

def events(self, model, call):
    if model.startswith("late-"):
        yield TextDelta("so far")
        model = model.removeprefix("late-")
    if model == "raises":
        raise AttributeError("oops\\nmore")
    if model == "exits":
        sys.exit(0)
    if model == "interrupts":
        raise KeyboardInterrupt
    if model in ("hangs", "clings"):
        try:
            time.sleep(3600)
        finally:
            time.sleep(3600)
    if model == "prints":
        print("printed")
        os.write(1, b"written")
        os.system("echo run")
        yield TextDelta("the answer")
        yield Finish("stop")
    yield {
        "bytes": b"x", "text": "x", "dict": {"text": "x"}, "nothing": None, "field": TextDelta(b"x"),
        "usage": Usage("3"), "metadata": Metadata({"when": object()}), "finish": Finish("end_turn"),
    }[model]

def models(self, call):
    return 5

def health_check(self, call):
    time.sleep(3600)
"""

# The same over HTTP, by the end of the base URL.
WRONG_HTTP = """
api_key = ApiKey(required=False)

def wrong(self, method, good):
    place, _, value = self.base_url.rpartition("/")[2].partition("-")
    values = {"none": None, "dict": {}, "raises": 0, "url": HttpRequest("POST", "http://[::1")}
    return values[value] if place == method and (value != "raises" or 1/0) else good()

def chat_request(self, request, *, stream):
    return self.wrong("chat_request", lambda: super(It, self).chat_request(request, stream=stream))

def framing(self):
    return self.wrong("framing", super().framing)

def reader(self, request):
    reader = super().reader(request)
    feed = reader.feed
    reader.feed = lambda record: self.wrong("feed", lambda: feed(record))
    return self.wrong("reader", lambda: reader)

def read_error(self, status, headers, body):
    return self.wrong("read_error", lambda: super(It, self).read_error(status, headers, body))

def read_models(self, document):
    return self.wrong("read_models", lambda: super(It, self).read_models(document))

def check(self, request):
    return self.wrong("check", lambda: super(It, self).check(request))
"""

NOISY = answering(
    "noisy",
    before="print('printed'); os.write(1, b'written\\n'); os.system('echo run')",
    more="def __init__(self, config):\n    print('made')\n    super().__init__(config)",
)
MOVER = answering(
    "mover",
    before="import logging; os.chdir('/'); logging.basicConfig(level=0)",
)
CHATTY = package(
    "chatty",
    provider("It", "chatty", "api_key = ApiKey(required=False)", base="OpenAI",
             before="import logging; from llmcli.providers.openai import OpenAI; logging.basicConfig(level=0)"),
)  # fmt: skip
KEYED = package(
    "keyed",
    provider("It", "keyed", "api_key = ApiKey(env=('KEYED_KEY',))\n"
             "def stream(self, request, call):\n    yield TextDelta('with a key')\n    yield Finish('stop')"),
)  # fmt: skip
CHOOSY = package(
    "choosy", provider("It", "choosy", ANSWERS + "def __init__(self, config):\n    raise UsageError('not so')")
)
COMMANDS = Package(
    "llmcli-tools",
    "import sys\ndef show(argv):\n    print(argv)\n    return 7\n"
    "def exits(argv): sys.exit(3)\ndef says(argv): sys.exit('no')\ndef quiet(argv): pass\ndef raises(argv): {}['x']\n"
    "def wrong(argv): return 'done'\ndef large(argv): return 256\n"
    "def refuses(argv):\n    from llmcli.errors import UsageError\n    raise UsageError('not like this')\n"
    "import atexit\ndef registers(argv):\n    atexit.register(print, 'at the end')\n    return 4\n"
    "number = 5\n",
    commands={
        name: f"llmcli_tools:{name}"
        for name in (
            "show",
            "exits",
            "says",
            "quiet",
            "raises",
            "wrong",
            "large",
            "refuses",
            "registers",
            "number",
            "missing",
        )
    }
    | {"chat": "llmcli_tools:show"},
    summary="Tools of a test \x1b[31m",
)
FOR_ALL = [
    GOOD, STALE, *CLAIMS, SEVERAL, NOISY, MOVER, CHATTY, CHOOSY, KEYED, COMMANDS,
    package("wrong", provider("It", "wrong", WRONG)),
    package("wronghttp", provider("It", "wronghttp", WRONG_HTTP, base="OpenAI",
                                  before="from llmcli.providers.openai import OpenAI")),
    *(param.values[0] for param in BROKEN),
]  # fmt: skip


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment that has all of them at once, and metadata that cannot be read."""
    environment = Environment(tmp_path_factory.mktemp("crowd"))
    environment.install(*FOR_ALL)
    (environment.site / f"{STALE.module}.py").unlink()
    for name, text in {"unreadable": b"\xff\xfe", "senseless": b"[llmcli.providers]\nno equals sign\n"}.items():
        info = environment.site / f"{name}-1.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_bytes(b"# llmcli.providers\n" + text)
    return environment


@pytest.fixture
def among(crowd: Environment, tmp_path: Path) -> Program:
    """The program, among all these plugins."""
    return program(crowd, tmp_path / "among")


@pytest.fixture(scope="session")
def loaded(crowd: Environment, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The list with all of them imported, which takes a while."""
    return program(crowd, tmp_path_factory.mktemp("loaded") / "home")("providers", "--load", "--json")


@pytest.fixture(scope="session")
def models(crowd: Environment, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The list of models where nobody was named, which takes a while too."""
    return program(crowd, tmp_path_factory.mktemp("models") / "home")("models")


def program(environment: Environment, home: Path) -> Program:
    home.mkdir()
    return Program(home, {"LLMCLI_PLUGIN_TIMEOUT": "2"}, (environment.python, "-m", "llmcli"))


def rows(done: Done) -> dict[str, Any]:
    return {row["id"]: row for row in done.json}


# --- a good one -----------------------------------------------------------------------------------


def test_a_plugin_is_there_after_pip_install(among: Program) -> None:
    done = among("chat", "-m", "good", "-n", "hello")

    assert (done.status, done.text, done.err) == (0, "heard: hello", "")


def test_it_is_listed_by_its_metadata_without_being_imported(among: Program) -> None:
    done = among("providers", "--json")
    row = rows(done)["good"]

    assert (row["origin"], row["name"], row["capabilities"]) == ("llmcli-good 1.2", "Good answers", None)
    assert "importing" not in done.err


def test_load_shows_what_each_can_do(loaded: Done) -> None:
    row = rows(loaded)["good"]

    assert (row["name"], row["capabilities"], row["default_model"]) == ("It", ["chat", "stream"], "m")


def test_show_imports_the_one_that_is_asked_for(among: Program) -> None:
    done = among("providers", "show", "good", "--json")

    assert (done.json["origin"], done.json["capabilities"]) == ("llmcli-good 1.2", ["chat", "stream"])
    assert "importing" not in done.err


def test_a_table_of_the_configuration_may_name_a_plugin(among: Program) -> None:
    among.configure('[providers.mine]\nadapter = "good"\ndefault_model = "x"\n')

    assert among("chat", "-m", "mine", "-n", "hello").text == "heard: hello"


def test_an_editable_install_and_a_wheel_that_pip_built_are_plugins_too(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    environment.pip("install", "-e", str(answering("edited").source(tmp_path / "edited")))
    environment.pip("wheel", "--wheel-dir", str(tmp_path), str(answering("built").source(tmp_path / "built")))
    environment.pip("install", *map(str, tmp_path.glob("*.whl")))
    run = program(environment, tmp_path / "home")

    assert run("chat", "-m", "edited", "-n", "hello").text == "heard: hello"
    assert run("chat", "-m", "built", "-n", "hello").text == "heard: hello"


def test_a_plugin_that_was_uninstalled_is_gone(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    environment.install(GOOD)
    environment.pip("uninstall", GOOD.name)
    run = program(environment, tmp_path / "home")

    assert "good" not in rows(run("providers", "--json"))
    assert run("chat", "-p", "good", "-n", "hello").status == 3


def test_a_function_may_return_several_providers(among: Program) -> None:
    assert among("chat", "-m", "one", "-n", "hello").text == "heard: hello"
    assert among("chat", "-m", "two", "-n", "hello").text == "heard: hello"


def test_an_entry_point_that_the_function_knows_nothing_of_exits_3(among: Program) -> None:
    done = among("chat", "-m", "three", "-n", "hello")

    assert done.status == 3
    assert "has no provider three, but one, two\n" in done.err
    assert 'one = "llmcli_several:providers" and two = "llmcli_several:providers"' in done.err


def test_a_typing_mistake_imports_nothing(among: Program) -> None:
    done = among("chat", "-m", "hang/x", "-n", "hello")

    assert (done.status, "importing" in done.err) == (3, False)
    assert "did you mean hangs/x?" in done.err


# --- broken ones ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("broken", "message", "hint"), BROKEN)
def test_a_broken_plugin_exits_3_and_says_whose_fault_it_is(
    among: Program, broken: Package, message: str, hint: str | None
) -> None:
    name = broken.name.removeprefix("llmcli-")
    done = among("chat", "-m", name, "-n", "hello")

    assert (done.status, done.out) == (3, b"")
    lines = [line for line in done.err.splitlines() if line != "importing"]
    assert lines[0].startswith(f"llmcli: the plugin {broken.name} 0.1 ({name} = llmcli_{name}:It) ")
    assert message in lines[0]
    if "configured: " in message:  # and where it failed
        assert re.fullmatch(rf"hint: in site-packages/llmcli_{name}\.py, line \d+", lines[1])
    else:
        assert lines[1:] == ([f"hint: {hint.replace('PYTHON', among.command[0])}"] if hint else [])


@pytest.mark.fault(99)
@pytest.mark.fault(107)
def test_broken_plugins_change_nothing_of_a_chat_with_another(
    among: Program, llmcli: Program, serve: Callable[..., Server]
) -> None:
    url = serve(says("hello ", "there")).url
    for args in (
        ("chat", "-m", "echo", "-n", "hello"), ("chat", "-m", "echo", "-n", "--json", "hello"),
        ("chat", "-m", "echo", "--option", "fail=cut", "hello"), ("chat", "-p", "nobody", "-n", "x"),
        ("chat", "-p", "openai-compatible", "--base-url", url, "-m", "m", "-n", "hello"),
        ("providers", "show", "ollama", "--no-config"), ("chat", "--help"), ("--version",), ("nosuchcommand",),
    ):  # fmt: skip
        assert among(*args) == llmcli(*args)


@pytest.mark.fault(99)
def test_load_shows_what_is_wrong_with_each_and_hurts_nobody_else(loaded: Done) -> None:
    listed = rows(loaded)

    assert loaded.status == 0
    for broken, message, _ in (param.values for param in BROKEN):
        assert message in listed[broken.name.removeprefix("llmcli-")]["problem"]
    assert "problem" not in listed["good"]
    assert "problem" not in listed["echo"]


@pytest.mark.fault(99)
def test_a_list_of_models_says_one_line_for_each_broken_plugin_and_goes_on(among: Program) -> None:
    done = among("models")

    assert (done.status, "echo/echo\n" in done.text) == (0, True)
    for broken, message, _ in (param.values for param in BROKEN):
        assert (
            len([line for line in done.err.splitlines() if f"the plugin {broken.name} " in line and message in line])
            == 1
        )


@pytest.mark.fault(99)
def test_health_says_one_line_for_each_broken_plugin_and_goes_on(among: Program) -> None:
    done = among("health", env={"LLMCLI_MODEL": "echo"})

    assert (done.status, done.text.split("\t")[0]) == (0, "echo")
    for broken, message, _ in (param.values for param in BROKEN):
        assert (
            len([line for line in done.err.splitlines() if f"the plugin {broken.name} " in line and message in line])
            == 1
        )


@pytest.mark.fault(99)
def test_a_configured_plugin_that_is_broken_fails_health(among: Program) -> None:
    among.configure('[providers.mine]\nadapter = "exits"\n')
    done = among("health", "mine", "echo", "--json")

    assert done.status == 3
    assert [row["ok"] for row in done.json] == [False, True]


@pytest.mark.fault(100)
def test_a_plugin_may_refuse_its_configuration_in_its_own_words(among: Program) -> None:
    done = among("chat", "-m", "choosy", "-n", "hello")

    assert (done.status, done.err) == (2, "llmcli: not so\n")


@pytest.mark.fault(102)
def test_ctrl_c_ends_the_wait_for_an_import_that_hangs(among: Program) -> None:
    process = among.start("chat", "-m", "hangs", "-n", "hello", env={"LLMCLI_PLUGIN_TIMEOUT": "3600"})
    assert process.stderr is not None
    assert process.stderr.readline() == b"importing\n"

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert (shell_status(process.returncode), out, err) == (130, b"", b"")


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan"])
def test_a_plugin_timeout_that_is_none_exits_3(among: Program, seconds: str) -> None:
    done = among("chat", "-m", "good", "-n", "hello", env={"LLMCLI_PLUGIN_TIMEOUT": seconds})

    assert (done.status, "LLMCLI_PLUGIN_TIMEOUT" in done.err) == (3, True)


# --- what metadata shows --------------------------------------------------------------------------


@pytest.mark.fault(104)
def test_an_id_that_two_distributions_claim_is_nobodys(among: Program) -> None:
    done = among("chat", "-m", "twice", "-n", "hello")

    assert done.status == 3
    assert "several plugins claim twice: " in done.err
    assert "llmcli-twice 0.1 (twice = llmcli_twice:It)" in done.err
    assert "other-twice 2 (twice = other_twice:It)" in done.err
    assert "hint: say which: llmcli-twice:twice or other-twice:twice\n" in done.err


@pytest.mark.fault(104)
def test_a_distribution_and_an_id_pick_one(among: Program) -> None:
    among.configure('[providers.mine]\nadapter = "other_twice:twice"\ndefault_model = "x"\n')

    assert among("chat", "-p", "llmcli-twice:twice", "-n", "hello").text == "heard: hello"
    assert among("chat", "-m", "llmcli-twice:twice/m", "-n", "hello").text == "heard: hello"
    assert among("chat", "-m", "mine", "-n", "hello").text == "heard: hello"
    assert among("providers", "show", "other-twice:twice", "--json").json["origin"] == "other-twice 2"


@pytest.mark.fault(104)
@pytest.mark.fault(107)
def test_the_list_shows_double_claims_and_leftovers_without_importing_anything(among: Program) -> None:
    done = among("providers", "--json")
    listed = rows(done)

    assert (done.status, done.err) == (0, "")
    assert "twice is also claimed by other-twice 2" in listed["llmcli-twice:twice"]["problem"]
    assert "echo is built in and cannot be taken" in listed["evil-echo:echo"]["problem"]
    assert "its module llmcli_stale is not there" in listed["stale"]["problem"]
    assert listed["echo"]["origin"] == "built-in"


@pytest.mark.fault(104)
def test_a_built_in_id_cannot_be_taken_but_its_claimant_can_be_asked(among: Program) -> None:
    assert among("chat", "-m", "echo", "-n", "hello").text == "hello"
    assert among("chat", "-p", "evil-echo:echo", "-n", "hello").text == "heard: hello"


@pytest.mark.fault(104)
@pytest.mark.parametrize(("name", "status"), [("keyed", 0), ("llmcli-keyed:keyed", 0), ("mine", 4)])
def test_a_plugin_gets_its_key_by_either_of_its_ids_and_lends_it_to_nobody(
    among: Program, name: str, status: int
) -> None:
    among.configure('[providers.mine]\nadapter = "llmcli-keyed:keyed"\ndefault_model = "m"\n')

    assert among("chat", "-p", name, "-n", "hello", env={"KEYED_KEY": "sk-keyed"}).status == status
    assert among("chat", "-p", name, "-n", "hello").status == 4


@pytest.mark.fault(104)
@pytest.mark.fault(107)
def test_what_metadata_shows_to_be_wrong_is_not_asked_for_models_by_itself(models: Done) -> None:
    for name, problem in {
        "stale": "its module llmcli_stale is not there",
        "evil-echo:echo": "echo is built in and cannot be taken",
        "llmcli-twice:twice": "twice is also claimed by other-twice 2",
    }.items():
        assert [line for line in models.err.splitlines() if line.startswith(f"llmcli: {name}: {problem}")]
    assert "cannot be loaded: ModuleNotFoundError: No module named 'llmcli_stale'" not in models.err


@pytest.mark.fault(107)
def test_what_an_uninstallation_left_behind_exits_3_when_it_is_asked(among: Program) -> None:
    done = among("chat", "-m", "stale", "-n", "hello")

    assert done.status == 3
    assert "the plugin llmcli-stale 0.1 (stale = llmcli_stale:It) cannot be loaded: ModuleNotFoundError" in done.err
    assert "install llmcli-stale again, or uninstall it" in done.err


@pytest.mark.fault(107)
def test_a_distribution_that_is_installed_twice_is_one(crowd: Environment, among: Program, tmp_path: Path) -> None:
    newer = GOOD._replace(version="9", name="LLMCLI_good")
    environment = Environment(tmp_path / "first")
    environment.install(newer)
    path = {"PYTHONPATH": f"{environment.site}:{among.env['PYTHONPATH']}"}
    done = among("providers", "--json", env=path)

    assert rows(done)["good"]["origin"] == "LLMCLI_good 9"
    assert "problem" not in rows(done)["good"]
    assert among("chat", "-m", "good", "-n", "hello", env=path).text == "heard: hello"


# --- wrong values ---------------------------------------------------------------------------------

WRONG_VALUES = [
    ("none", "returned None from stream(), expected an iterator of events"),
    ("number", "returned int from stream(), expected an iterator of events"),
    ("bytes", "returned bytes from stream(), expected an event"),
    ("text", "returned str from stream(), expected an event"),
    ("dict", "returned dict from stream(), expected an event"),
    ("nothing", "returned None from stream(), expected an event"),
    ("field", "returned TextDelta(text=b'x') from stream(), expected one whose fields are right"),
    ("usage", "returned Usage(prompt_tokens='3',"),
    ("metadata", "returned Metadata(values="),
    ("finish", "returned Finish(reason='end_turn', raw=None) from stream()"),
    ("raises", "failed in stream(): KeyError: 'what'"),
    ("vague", "failed in stream(): Vague: something"),
    ("exits", "failed in stream(): SystemExit: 0"),
    ("interrupts", "failed in stream(): KeyboardInterrupt"),
]
WHOSE = "the plugin llmcli-wrong 0.1 (wrong = llmcli_wrong:It) "


@pytest.mark.fault(101)
@pytest.mark.parametrize(("what", "message"), WRONG_VALUES)
@pytest.mark.parametrize("form", ["--format=text", "--json", "--jsonl"])
def test_a_wrong_value_is_the_plugins_fault_and_exits_8(among: Program, what: str, message: str, form: str) -> None:
    done = among("chat", "-m", f"wrong/{what}", "-n", form, "hello")

    assert (done.status, done.out) == (8, b"")
    said = done.err
    if form.startswith("--json"):
        said = f"llmcli: {done.error['message']}"
        assert not done.error["retryable"]
    assert said.startswith(f"llmcli: {WHOSE}{message}")
    if "failed in" in message and form == "--format=text":  # and where it failed
        assert re.search(r"\nhint: in site-packages/llmcli_wrong\.py, line \d+\n$", done.err)
    else:
        assert done.err.count("\n") == 1


@pytest.mark.fault(101)
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("bytes", "returned bytes from stream(), expected an event"),
        ("raises", "failed in stream(): AttributeError: oops"),
    ],
)
def test_a_wrong_value_after_some_output_exits_10(among: Program, what: str, message: str) -> None:
    done = among("chat", "-m", f"wrong/late-{what}", "-n", "hello")

    assert (done.status, done.text) == (10, "so far")
    assert done.err.startswith(f"llmcli: the answer is incomplete: {WHOSE}{message}")


def test_an_error_of_ours_stays_what_it_is(among: Program) -> None:
    done = among("chat", "-m", "wrong/refuses", "-n", "hello")

    assert (done.status, done.err) == (5, "llmcli: no, says the plugin [provider=wrong]\n")


@pytest.mark.fault(101)
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("chat_request-dict", "returned dict from chat_request(), expected an HttpRequest"),
        ("chat_request-none", "returned None from chat_request(), expected an HttpRequest"),
        ("chat_request-raises", "failed in chat_request(): ZeroDivisionError: division by zero"),
        ("chat_request-url", "returned HttpRequest from chat_request(), expected an HttpRequest with an http URL"),
        ("framing-none", "returned None from framing(), expected a framing"),
        ("reader-none", "returned None from reader(), expected a Reader"),
        ("feed-none", "returned None from feed(), expected an iterator of events"),
        ("feed-raises", "failed in feed(): ZeroDivisionError: division by zero"),
        ("check-raises", "failed in check(): ZeroDivisionError: division by zero"),
    ],
)
def test_a_wrong_value_over_http_exits_8(
    among: Program, serve: Callable[..., Server], place: str, message: str
) -> None:
    done = among("chat", "-p", "wronghttp", "--base-url", f"{serve(says('hi')).url}/{place}", "-n", "hello")

    assert (done.status, done.out) == (8, b"")
    assert f"the plugin llmcli-wronghttp 0.1 (wronghttp = llmcli_wronghttp:It) {message}" in done.err


def test_the_same_plugin_answers_where_it_does_nothing_wrong(among: Program, serve: Callable[..., Server]) -> None:
    url = serve(says("hi ", "there")).url

    assert among("chat", "-p", "wronghttp", "--base-url", url, "-n", "hello").text == "hi there"
    url = serve(answers(200, completion("whole"))).url
    assert among("chat", "-p", "wronghttp", "--base-url", url, "-n", "--no-stream", "hello").text == "whole"


def test_what_is_cut_behind_its_end_marker_loses_nothing(among: Program, serve: Callable[..., Server]) -> None:
    url = serve(stream(delta("hi"), finish(), end=b"")).url
    done = among("chat", "-p", "wronghttp", "--base-url", url, "-n", "hello")

    assert (done.status, done.text, done.err) == (0, "hi", "")


@pytest.mark.fault(101)
def test_a_wrong_error_and_a_wrong_list_of_models_exit_8(among: Program, serve: Callable[..., Server]) -> None:
    failing = serve(answers(500, {"error": {"message": "no"}})).url
    chat = among("chat", "-p", "wronghttp", "--base-url", f"{failing}/read_error-dict", "-n", "hello")
    listing = serve(answers(200, {"data": []})).url
    among.configure(f'[providers.wronghttp]\nbase_url = "{listing}/read_models-dict"\n')
    models = among("models", "list", "wronghttp")

    assert (chat.status, "returned dict from read_error(), expected an LlmError" in chat.err) == (8, True)
    assert (models.status, "returned dict from read_models(), expected a ModelPage" in models.err) == (8, True)


@pytest.mark.fault(101)
def test_a_wrong_list_of_a_native_plugin_exits_8(among: Program) -> None:
    done = among("models", "list", "wrong")

    assert (done.status, f"{WHOSE}failed in models(): TypeError" in done.err) == (8, True)


@pytest.mark.fault(101)
@pytest.mark.parametrize("kind", [HTTPProvider, NativeProvider])
def test_no_method_of_the_contract_is_left_unguarded(kind: type[Provider]) -> None:
    cls = guests.guarded(type("It", (kind,), {"id": "it", "name": "It"}), "it", "it")
    methods = {name for name, value in inspect.getmembers(kind, callable) if not name.startswith("_")}

    assert [name for name in methods if getattr(cls, name).__module__ != guests.__name__] == []


# --- what hangs -----------------------------------------------------------------------------------


@pytest.mark.fault(102)
@pytest.mark.parametrize(
    ("model", "status", "message"),
    [
        ("hangs", 7, "no answer began in 0.3 s"),
        ("late-hangs", 10, "the answer is incomplete: the stream stalled: no event in 0.3 s"),
    ],
)
def test_a_call_that_hangs_ends_at_its_deadline(among: Program, model: str, status: int, message: str) -> None:
    done = among("chat", "-m", f"wrong/{model}", "-n", "--first-timeout", "0.3", "--idle-timeout", "0.3", "--retries",
                 "0", "hello")  # fmt: skip

    assert done.status == status
    assert done.err.startswith(f"llmcli: {message}")


@pytest.mark.fault(108)
def test_ctrl_c_ends_a_plugin_that_does_not_let_go(among: Program) -> None:
    process = among.start("chat", "-m", "wrong/late-clings", "-n", "hello")
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 100) == b"so far"

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert (shell_status(process.returncode), out, err) == (130, b"", b"")


# --- the process is ours --------------------------------------------------------------------------


@pytest.mark.fault(103)
def test_what_a_plugin_prints_is_no_part_of_the_answer(among: Program) -> None:
    done = among("chat", "-m", "noisy", "-n", "hello")

    assert (done.status, done.text) == (0, "heard: hello")
    assert done.err == "printed\nwritten\nrun\nmade\n"


@pytest.mark.fault(103)
def test_what_a_plugin_prints_while_it_answers_is_no_part_of_the_answer(among: Program) -> None:
    done = among("chat", "-m", "wrong/prints", "-n", "hello")

    assert (done.status, done.text) == (0, "the answer")
    assert done.err == "printed\nwrittenrun\n"


@pytest.mark.fault(103)
def test_what_plugins_print_is_no_part_of_a_list(loaded: Done, models: Done) -> None:
    assert "noisy" in rows(loaded)
    assert "written\n" in loaded.err
    assert [line for line in models.text.splitlines() if "/" not in line] == []
    assert "written\n" in models.err


@pytest.mark.fault(103)
def test_a_plugin_that_goes_elsewhere_does_not_take_the_program_along(among: Program) -> None:
    (among.home / "note.txt").write_text("from here")

    assert "from here" in among("chat", "-m", "mover", "-n", "-f", "note.txt", "what?").text


@pytest.mark.fault(103)
def test_a_plugin_that_turns_on_logging_says_nothing_of_ours(among: Program, serve: Callable[..., Server]) -> None:
    done = among("chat", "-p", "chatty", "--base-url", serve(says("hi")).url, "-m", "m", "-n", "hello")

    assert (done.status, done.text, done.err) == (0, "hi", "")


@pytest.mark.fault(103)
def test_directory_locale_signals_and_logging_are_as_before_a_guest(tmp_path: Path) -> None:
    def state() -> tuple[object, ...]:
        root = logging.getLogger()
        return (
            os.getcwd(),
            locale.setlocale(locale.LC_ALL),
            signal.getsignal(signal.SIGUSR1),
            root.level,
            root.handlers[:],
        )

    before = state()
    with guests.unchanged():
        os.chdir(tmp_path)
        locale.setlocale(locale.LC_ALL, "C")
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        logging.getLogger().setLevel(3)
        logging.getLogger().addHandler(logging.NullHandler())
        assert state() != before

    assert state() == before


# --- commands -------------------------------------------------------------------------------------


def test_a_plugin_adds_a_command(among: Program) -> None:
    done = among("show", "--flag", "a", "--", "-h")

    assert (done.status, done.text, done.err) == (7, "['--flag', 'a', '--', '-h']\n", "")


def test_it_is_listed_in_the_help_by_its_distribution_and_is_not_imported(among: Program) -> None:
    done = among("--help")

    assert done.status == 0
    _, _, ours = done.text.partition("\nCommands of plugins:\n")
    assert "  show" in ours
    assert "Tools of a test ^[[31m (llmcli-tools 0.1)" in " ".join(ours.split())
    assert "importing" not in done.err


def test_without_plugins_the_help_has_no_heading_for_their_commands(llmcli: Program) -> None:
    assert "Commands of plugins" not in llmcli("--help").text


@pytest.mark.parametrize(
    ("name", "status", "err"),
    [
        ("exits", 3, ""),
        ("quiet", 0, ""),
        ("says", 1, "no\n"),
        ("refuses", 2, "llmcli: not like this\n"),
    ],
)
def test_the_exit_status_of_a_command_is_its_own(among: Program, name: str, status: int, err: str) -> None:
    done = among(name)

    assert (done.status, done.err) == (status, err)


@pytest.mark.fault(99)
@pytest.mark.fault(101)
@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("raises", 1, "failed: KeyError: 'x'"),
        ("wrong", 3, "returned 'done', expected an exit status from 0 to 255"),
        ("large", 3, "returned 256, expected an exit status from 0 to 255"),
        ("number", 3, "is no function, but int"),
        ("missing", 3, "cannot be loaded: AttributeError: module 'llmcli_tools' has no attribute 'missing'"),
    ],
)
def test_the_mistakes_of_a_command_are_its_own_too(among: Program, name: str, status: int, message: str) -> None:
    done = among(name)

    said = f"llmcli: the plugin llmcli-tools 0.1 ({name} = llmcli_tools:{name}) {message}\n"
    assert (done.status, re.sub(r"hint: in site-packages/llmcli_tools\.py, line \d+\n$", "", done.err)) == (
        status,
        said,
    )


def test_what_a_command_has_registered_for_the_end_is_done(among: Program) -> None:
    done = among("registers")

    assert (done.status, done.text, done.err) == (4, "at the end\n", "")


def test_a_built_in_command_cannot_be_taken_but_its_claimant_can_be_asked(among: Program) -> None:
    assert among("chat", "-m", "echo", "-n", "hello").text == "hello"
    assert among("llmcli-tools:chat", "x").text == "['x']\n"


def test_the_reader_of_a_commands_output_may_go_away(among: Program) -> None:
    shell = f"{' '.join(among.command)} show x | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], env=among.env, capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout in ("7\n", "141\n")  # who is first is not told
    assert done.stderr == ""


def test_an_error_of_a_plugin_is_a_document_where_documents_are_asked_for(among: Program) -> None:
    done = among("chat", "-m", "exits", "-n", "--json", "hello")

    assert (done.status, json.loads(done.err)["error"]["name"]) == (3, "configuration")
