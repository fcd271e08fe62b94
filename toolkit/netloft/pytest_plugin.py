"""A plugin for pytest: bundles are tests, and tests can run a bundle.

    pytest --netloft-bundle out/resnet18 --netloft-budget p95_ms=20,batch=1

Each bundle is verified on its own vectors, for each provider, and held to the budgets. A test that
takes `netloft_net` is run once for each bundle with it loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netloft.defaults import BATCHES
from netloft.errors import CheckError, NetloftError

if TYPE_CHECKING:
    from netloft.runtime import Net

__all__ = ["BundleItem", "netloft_net"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    group = parser.getgroup("netloft", "bundles that netloft exported")
    group.addoption(
        "--netloft-bundle", action="append", default=[], metavar="DIR", type=Path,
        help="verify this bundle; repeat for more",
    )  # fmt: skip
    group.addoption(
        "--netloft-provider", action="append", default=[], metavar="P",
        help="cpu, cuda …; by default CPU, and CUDA where it starts",
    )  # fmt: skip
    group.addoption(
        "--netloft-budget", action="append", default=[], metavar="METRIC=N,…",
        help="hold each bundle to this, as netloft bench --budget does",
    )  # fmt: skip
    group.addoption(
        "--netloft-engine", action="append", default=[], metavar="NAME",
        help="measure it in this, as netloft bench --engine does; by default deployed, which is "
             "what netloft.runtime.load runs",
    )  # fmt: skip


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add an item for what is to be checked of each bundle."""
    for bundle in config.getoption("--netloft-bundle"):
        items.append(BundleItem.of(session, bundle, "verify"))
        if config.getoption("--netloft-budget"):
            items.append(BundleItem.of(session, bundle, "budget"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `netloft_net` once for each bundle."""
    if "netloft_net" in metafunc.fixturenames:
        bundles = metafunc.config.getoption("--netloft-bundle")
        metafunc.parametrize("netloft_net", bundles, indirect=True, ids=[b.name for b in bundles])


@pytest.fixture
def netloft_net(request: pytest.FixtureRequest) -> Net:
    """Give a bundle of `--netloft-bundle`, loaded on the first provider that was asked for."""
    from netloft.runtime import load

    providers = request.config.getoption("--netloft-provider")
    return load(request.param, provider=providers[0] if providers else "cpu")


class BundleItem(pytest.Item):
    """One check of one bundle.

    Attributes:
        bundle: Its folder.
        check: `verify` or `budget`.
    """

    bundle: Path
    check: str

    @classmethod
    def of(cls, parent: pytest.Session, bundle: Path, check: str) -> BundleItem:
        """Make an item."""
        made: BundleItem = cls.from_parent(parent, name=f"{bundle.name}[{check}]")
        made.bundle, made.check = bundle, check
        return made

    def runtest(self) -> None:
        """Check it.

        Raises:
            NetloftError: It does not hold.
        """
        providers = self.config.getoption("--netloft-provider")
        if self.check == "verify":
            _verify(self.bundle, providers)
        else:
            budgets = self.config.getoption("--netloft-budget")
            engines = self.config.getoption("--netloft-engine") or ["deployed"]
            _hold(self.bundle, providers, budgets, engines)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Say what is wrong in netloft's own words, without a traceback."""
        if isinstance(excinfo.value, NetloftError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return what the report calls it."""
        return self.bundle, None, f"{self.bundle}: {self.check}"


def _verify(bundle: Path, providers: Sequence[str]) -> None:
    from netloft.parity.verdict import counts, told
    from netloft.verification import verify

    found = verify(bundle, providers=providers)
    failed = [row for row in found.parity if counts(row["status"], row["input"])]
    if failed:
        raise CheckError(f"{bundle} {told(failed, len(found.parity))}")


def _hold(
    bundle: Path, providers: Sequence[str], budgets: Sequence[str], engines: Sequence[str]
) -> None:
    from netloft.speed import bench
    from netloft.speed.limits import Limits, require_kept

    limits = Limits.read(tuple(budgets), None, None)
    found = bench(
        bundle,
        batches=limits.batches or BATCHES,
        providers=providers,
        engines=engines,
        rounds=limits.rounds,
        loads=limits.loads,
    )
    require_kept(limits.judged(found))
