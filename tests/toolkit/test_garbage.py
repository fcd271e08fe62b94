"""What stays is not looked at again, in a process that is the command's own."""

from __future__ import annotations

from tests.toolkit.fresh import told_by

_PROGRAM = """
import gc, json
from netloft.garbage import collector_paused, kept_for_good

class Circle:
    def __init__(self):
        self.itself = self

def garbage():
    Circle()

{work}
told["on"] = gc.isenabled()
print(json.dumps(told))
"""


def _told(work: str) -> dict[str, object]:
    return told_by(_PROGRAM.format(work=work))


def test_what_is_made_is_kept_and_what_comes_later_is_collected() -> None:
    work = """
with kept_for_good():
    inside = gc.isenabled()
    kept = [[] for _ in range(1000)]
told = {"inside": inside, "frozen": gc.get_freeze_count() > 1000}
alive = lambda: sum(isinstance(o, Circle) for o in gc.get_objects())
garbage()
told["before"] = alive()
gc.collect()
told["after"] = alive()
"""
    assert _told(work) == {"inside": False, "frozen": True, "before": 1, "after": 0, "on": True}


def test_a_pause_leaves_what_is_kept_alone() -> None:
    work = """
with kept_for_good():
    kept = [[] for _ in range(1000)]
with collector_paused():
    pass
told = {"frozen": gc.get_freeze_count() > 1000}
"""
    assert _told(work) == {"frozen": True, "on": True}


def test_a_collector_that_is_off_stays_off() -> None:
    work = """
gc.disable()
with kept_for_good():
    pass
told = {}
"""
    assert _told(work) == {"on": False}


def test_imports_are_kept_in_a_process_of_the_commands_own_alone() -> None:
    work = """
import click
from netloft.cli.own_process import OWN, imports_kept

told = {}
for name, own in (("no command", None), ("another's", "own"), ("own", OWN)):
    with click.Context(click.Command("verb"), obj=own) if own else imports_kept():
        with imports_kept():
            pass
    told[name] = gc.get_freeze_count() > 0
"""
    assert _told(work) == {"no command": False, "another's": False, "own": True, "on": True}
