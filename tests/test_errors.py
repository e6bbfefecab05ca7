"""
Every error has its exit status, and what is written about them in one place is true in the others.
"""

import re
from collections.abc import Iterator

import pytest

from llmcli import errors
from llmcli.errors import EXIT_STATUSES, LlmError

_BRANCH = re.compile(r"(?P<indent>(?:[│ ] {3})*)(?:├── |└── )(?P<name>\w+)(?: +(?P<status>\d+) {3}(?P<meaning>.+))?")


def every_class(root: type[LlmError] = LlmError) -> Iterator[type[LlmError]]:
    """A class of the module and all below it."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from every_class(child)


def drawn() -> list[tuple[str, str, int | None, str | None]]:
    """The tree of the module's docstring: (name, name of the parent, status, meaning), in its order."""
    path = ["LlmError"]
    branches = []
    for line in (errors.__doc__ or "").splitlines():
        found = _BRANCH.fullmatch(line.removeprefix("    "))
        if found:
            depth = len(found["indent"]) // 4 + 1
            path[depth:] = [found["name"]]
            branches.append((found["name"], path[depth - 1], int(found["status"] or 0) or None, found["meaning"]))
    return branches


def test_the_tree_that_is_drawn_is_the_tree_that_is() -> None:
    real = {cls.__name__: cls.__bases__[0].__name__ for cls in every_class() if cls is not LlmError}

    assert {name: parent for name, parent, _, _ in drawn()} == real


def test_the_tree_is_drawn_once_and_with_its_root() -> None:
    names = [name for name, _, _, _ in drawn()]

    assert len(names) == len(set(names))
    assert "\n    LlmError\n    ├── " in (errors.__doc__ or "")


def test_the_statuses_that_are_drawn_are_those_of_the_classes() -> None:
    parents = {name: parent for name, parent, _, _ in drawn()}
    for name, _, status, _ in drawn():
        assert getattr(errors, name).status == (status or getattr(errors, parents[name]).status)


def words(meaning: str) -> set[str]:
    return set(re.findall(r"\w+", meaning.lower()))


def test_the_meanings_that_are_drawn_say_nothing_that_the_table_does_not() -> None:
    for name, _, status, meaning in drawn():
        if status is not None:
            assert meaning, name
            assert words(meaning) <= words(EXIT_STATUSES[status][1]), name


def test_every_class_leaves_with_a_status_of_the_table() -> None:
    for cls in every_class():
        assert cls.status in EXIT_STATUSES
        assert cls("said").name == EXIT_STATUSES[cls.status][0]


def test_every_failure_of_the_table_has_one_class_that_stands_for_it() -> None:
    """0 is success, 1 is a bug and has no class of its own, and above 128 are the signals."""
    heads = [cls.status for cls in every_class() if cls.__bases__[0] is LlmError]

    assert sorted(heads) == [status for status in sorted(EXIT_STATUSES) if 1 < status < 128]


def test_a_finer_class_leaves_with_the_status_of_its_parent() -> None:
    for cls in every_class():
        if cls is not LlmError and cls.__bases__[0] is not LlmError:
            assert cls.status == cls.__bases__[0].status


def test_the_promised_numbers_have_not_changed() -> None:
    assert {status: name for status, (name, _, _) in EXIT_STATUSES.items()} == {
        0: "ok",
        1: "internal",
        2: "usage",
        3: "configuration",
        4: "authentication",
        5: "rejected",
        6: "busy",
        7: "network",
        8: "provider",
        9: "quota",
        10: "incomplete",
        11: "output",
        12: "finished-early",
        13: "form",
        129: "sighup",
        130: "sigint",
        141: "sigpipe",
        143: "sigterm",
    }


def test_the_names_of_the_statuses_can_be_told_apart() -> None:
    names = [name for name, _, _ in EXIT_STATUSES.values()]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


@pytest.mark.parametrize("cls", list(every_class()))
def test_an_error_says_what_happened_and_keeps_the_facts(cls: type[LlmError]) -> None:
    error = cls(
        "what happened",
        hint="what to do",
        provider="acme",
        http_status=418,
        request_id="r1",
        retry_after=1.5,
        retry_ok=False,
    )

    assert str(error) == error.message == "what happened"
    assert (error.hint, error.provider, error.http_status, error.request_id) == ("what to do", "acme", 418, "r1")
    assert (error.retry_after, error.retry_ok, error.bytes_out) == (1.5, False, 0)


def test_only_what_may_pass_by_itself_says_that_it_can_be_retried() -> None:
    retryable = {cls.__name__ for cls in every_class() if cls.retryable}

    assert retryable == {"Busy", "NetworkFailed", "TimedOut", "ProviderFailed", "Incomplete"}


def test_every_class_says_what_it_means() -> None:
    for cls in every_class():
        assert (cls.__doc__ or "").strip().endswith((".", ")"))
