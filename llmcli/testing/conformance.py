"""
The conformance kit as tests: what a provider's author subclasses. Layer 2, and the only module that knows pytest.
"""

from collections.abc import Mapping
from typing import ClassVar

import pytest

from llmcli.provider import Provider
from llmcli.testing.checks import CHECKS, perform
from llmcli.testing.samples import Samples
from llmcli.testing.subject import KEY, Check, CheckFailed, CheckSkipped, Serve, Subject
from llmcli.types import NOTHING, ProviderConfig


def _checks(kind: str) -> pytest.MarkDecorator:
    checks = [check for check in CHECKS if check.kind in ("any", kind)]
    return pytest.mark.parametrize("check", checks, ids=[check.id for check in checks])


class _Conformance:
    """
    `provider`: the class under test. `samples`: what its API writes. `config`: its configuration, where it needs one.
    `waived`: ids of checks that cannot hold for this API, each with the reason. `key`: a key of the form that the
    provider takes, where not any will do.
    """

    provider: ClassVar[type[Provider]]
    samples: ClassVar[Samples]
    config: ClassVar[ProviderConfig | None] = None
    waived: ClassVar[Mapping[str, str]] = NOTHING
    key: ClassVar[str] = KEY

    def subject(self) -> Subject:
        """What is checked."""
        return Subject(self.provider, self.samples, self.config, waived=self.waived, key=self.key)

    def test_only_checks_that_exist_are_waived(self) -> None:
        """A check whose name was mistyped is not waived."""
        for check_id in set(self.waived) - {check.id for check in CHECKS}:
            pytest.fail(f"waived, but there is no such check: {check_id}", pytrace=False)

    def _make(self, check: Check) -> None:
        try:
            perform(check, self.subject())
        except CheckSkipped as exc:
            pytest.skip(str(exc))
        except CheckFailed as exc:
            pytest.fail(f"{check.title}:\n{exc}", pytrace=False)


class HTTPConformance(_Conformance):
    """The tests of a provider that is spoken to over HTTP."""

    @_checks("http")
    def test_conforms(self, check: Check) -> None:
        """One test for each check."""
        self._make(check)


class NativeConformance(_Conformance):
    """
    The tests of a provider that performs by itself. Its `serve` starts a server that plays records; where there is
    none to start, as for a model in this process, `serve` stays `None`.
    """

    serve: Serve | None = None

    def subject(self) -> Subject:
        """See `_Conformance.subject`."""
        return super().subject()._replace(serve=self.serve)

    @_checks("native")
    def test_conforms(self, check: Check) -> None:
        """One test for each check."""
        self._make(check)
