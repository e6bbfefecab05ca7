"""`llmcli models refresh` and `models --cached`: lists that are kept for completion, with their age."""

import json
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.model_servers import configure, lists
from tests.program import Program
from tests.servers import Server, answers

Serve = Callable[..., Server]

HOUR = 3600


def cache(llmcli: Program) -> Path:
    return llmcli.home / ".cache" / "llmcli"


def files(llmcli: Program) -> dict[str, str]:
    """What is kept, by its path in the cache; the locks are empty."""
    found = (path for path in cache(llmcli).rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(cache(llmcli))): path.read_text("utf-8") for path in found}


def age(llmcli: Program, provider_id: str, seconds: float) -> None:
    """Make a list older than it is."""
    then = time.time() - seconds
    for suffix in ("txt", "jsonl"):
        os.utime(cache(llmcli) / "models" / f"{provider_id}.{suffix}", (then, then))


# --- refresh --------------------------------------------------------------------------------------


def test_lists_are_kept_as_lines_for_a_shell_and_as_rows(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a", "b", context_length=8192)).url)
    done = llmcli("models", "refresh", "one")

    assert (done.status, done.text, done.err) == (0, "one: 2 models; before: none\n", "")
    kept = files(llmcli)
    assert set(kept) == {"providers.txt", "models/one.txt", "models/one.jsonl"}
    assert kept["models/one.txt"] == "one/a\none/b\n"
    assert kept["models/one.jsonl"] == llmcli("models", "list", "one", "--jsonl").text


def test_the_ids_of_all_providers_are_kept_whatever_is_named(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a")).url)
    llmcli("models", "refresh", "echo")
    ids = files(llmcli)["providers.txt"].splitlines()

    assert {"one", "echo", "openai", "anthropic"} <= set(ids)
    assert ids == sorted(set(ids))


def test_all_that_can_be_asked_are_asked_where_none_is_named(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a")).url, two=serve(lists("b")).url)
    done = llmcli("models", "refresh")

    assert done.status == 0
    assert {line.partition(":")[0] for line in done.text.splitlines()} == {"one", "two", "echo"}


def test_what_was_kept_before_is_said_with_its_age(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a"), lists("a", "b")).url)
    llmcli("models", "refresh", "one")
    age(llmcli, "one", 2.5 * HOUR)

    assert llmcli("models", "refresh", "one").text == "one: 2 models; before: 1 model, 2 h old\n"


def test_one_that_fails_keeps_its_old_list_and_says_so(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a", "b"), answers(500, {"error": {"message": "down"}})).url,
              new="http://127.0.0.1:1/v1", good=serve(lists("c")).url)  # fmt: skip
    llmcli("models", "refresh", "one")
    before = files(llmcli)
    age(llmcli, "one", 80 * HOUR)
    done = llmcli("models", "refresh", "one", "new", "good")

    assert done.status == 8
    assert done.text == (
        "one: not refreshed; its list stays: 2 models, 3 days old\n"
        "new: not refreshed; no list is kept\n"
        "good: 1 model; before: none\n"
    )
    assert "down [provider=one" in done.err
    assert "connection refused by 127.0.0.1:1 [provider=new]" in done.err
    kept = files(llmcli)
    assert {path: kept[path] for path in before} == before
    assert "models/new.txt" not in kept


def test_json_has_the_same_as_fields(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a", "b")).url, dead="http://127.0.0.1:1/v1")
    llmcli("models", "refresh", "one")
    age(llmcli, "one", 100)
    done = llmcli("models", "refresh", "one", "dead", "--json")
    one, dead = done.json

    assert done.status == 7
    assert 100 <= one.pop("age_before") < 200
    assert one == {"provider": "one", "ok": True, "models": 2, "source": "live", "models_before": 2, "problem": None}
    assert (dead["ok"], dead["models"], dead["age_before"]) == (False, None, None)
    assert "connection refused" in dead["problem"]
    assert done.error["code"] == 7


def test_nobody_else_may_read_what_is_kept(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a")).url)
    llmcli("models", "refresh", "one")

    paths = [path for path in cache(llmcli).rglob("*") if path.name != ".lock"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (cache(llmcli), cache(llmcli) / "models")} == {0o700}


def test_the_cache_stands_where_xdg_says(llmcli: Program, tmp_path: Path) -> None:
    llmcli("models", "refresh", "echo", env={"XDG_CACHE_HOME": str(tmp_path / "cache")})

    assert (tmp_path / "cache" / "llmcli" / "models" / "echo.txt").read_text() == "echo/echo\n"
    assert not cache(llmcli).exists()


def test_many_at_once_leave_whole_lists(llmcli: Program, serve: Serve) -> None:
    names = [f"m{number}" for number in range(500)]
    configure(llmcli, one=serve(lists(*names)).url)
    running = [llmcli.start("models", "refresh", "one") for _ in range(6)]
    statuses = []
    for process in running:
        process.communicate()
        statuses.append(process.returncode)

    assert statuses == [0] * 6
    kept = files(llmcli)
    assert set(kept) == {"providers.txt", "models/one.txt", "models/one.jsonl"}, "and no temporary file"
    assert kept["models/one.txt"] == "".join(f"one/{name}\n" for name in names)
    assert len(kept["models/one.jsonl"].splitlines()) == 500


def test_a_name_that_would_be_several_lines_is_not_completed(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a\nb", "c\x1b[2J", "$(touch x)", "d")).url)
    llmcli("models", "refresh", "one")

    assert files(llmcli)["models/one.txt"] == "one/$(touch x)\none/d\n"
    assert json.loads(files(llmcli)["models/one.jsonl"].partition("\n")[0])["id"] == "a\nb"


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b"])
def test_a_table_with_a_name_that_is_no_file_is_written_nowhere(llmcli: Program, serve: Serve, name: str) -> None:
    llmcli.configure(f'[providers."{name}"]\nadapter = "openai-compatible"\nbase_url = "{serve(lists("m")).url}"\n')
    done = llmcli("models", "refresh", name)

    assert done.status == 3
    assert "cannot be the name of a file" in done.err
    assert set(files(llmcli)) == {"providers.txt"}


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(llmcli: Program) -> None:
    (llmcli.home / ".cache").write_text("a file")
    done = llmcli("models", "refresh", "echo")

    assert (done.status, done.text) == (3, "")
    assert f"cannot write {cache(llmcli)}" in done.err


def test_without_a_home_there_is_nowhere_to_keep_a_list(llmcli: Program) -> None:
    done = llmcli("models", "refresh", "echo", env={"HOME": ""})

    assert done.status == 3
    assert "set HOME or XDG_CACHE_HOME" in done.err


def test_nothing_is_kept_by_a_list_that_was_only_shown(llmcli: Program) -> None:
    llmcli("models")
    llmcli("models", "show", "echo")

    assert not cache(llmcli).exists()


# --- --cached -------------------------------------------------------------------------------------


def test_cached_lists_ask_nobody_and_say_how_old_they_are(llmcli: Program, serve: Serve) -> None:
    server = serve(lists("a", "b"))
    configure(llmcli, one=server.url)
    llmcli("models", "refresh", "one", "echo")
    age(llmcli, "one", 2.5 * HOUR)
    done = llmcli("models", "--cached")

    assert (done.status, done.text) == (0, "echo/echo\none/a\none/b\n")
    assert re.fullmatch(r"llmcli: echo: 1 model, \d+ s old\nllmcli: one: 2 models, 2 h old\n", done.err)
    assert len(server.requests) == 1


def test_cached_lists_can_be_named_searched_and_had_as_json(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a", "b")).url)
    llmcli("models", "refresh", "one", "echo")

    assert llmcli("models", "list", "echo", "--cached").text == "echo/echo\n"
    assert llmcli("models", "list", "--cached", "--search", "B").text == "one/b\n"
    (row,) = llmcli("models", "list", "one", "--cached", "--search", "b", "--json").json
    assert (row["provider"], row["id"], row["source"]) == ("one", "b", "live")


def test_a_list_that_is_not_kept_is_an_error_that_says_how_to_have_it(llmcli: Program) -> None:
    nothing = llmcli("models", "--cached")
    llmcli("models", "refresh", "echo")
    one = llmcli("models", "list", "echo", "openai", "--cached")

    assert (nothing.status, nothing.text) == (3, "")
    assert "hint: `llmcli models refresh` asks for them" in nothing.err
    assert (one.status, one.text) == (3, "echo/echo\n")
    assert "no list of models is kept for openai [provider=openai]" in one.err
    assert "`llmcli models refresh openai`" in one.err


@pytest.mark.parametrize("text", ["{", "[]\n", "{}\n", '{"provider": "echo", "id": 7}\n', "\xff", "7\n"])
def test_a_damaged_list_is_an_error_and_is_written_anew(llmcli: Program, text: str) -> None:
    llmcli("models", "refresh", "echo")
    (cache(llmcli) / "models" / "echo.jsonl").write_bytes(text.encode("latin-1"))
    done = llmcli("models", "--cached")

    assert (done.status, done.text) == (3, "")
    assert "echo.jsonl is damaged" in done.err
    assert llmcli("models", "refresh", "echo").text == "echo: 1 model; before: none\n"
    assert llmcli("models", "--cached").status == 0


def test_a_name_cannot_lead_out_of_the_cache(llmcli: Program) -> None:
    llmcli("models", "refresh", "echo")
    done = llmcli("models", "list", "../models/echo", "--cached")

    assert (done.status, done.text) == (3, "")
