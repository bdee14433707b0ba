"""The fault plan of a paper gateway in a process of its own: a file that is read again whenever it changes.

`oms dev` and `oms paper` take the file's path in OMS_PAPER_FAULTS. The file need not be there at the start; without it
there are no faults. To change anything, replace the file (write another one beside it, then rename); within a few
hundredths of a second the new plan is in force and its counts begin at 0. So "hold the next placement's replies now" is

    {"name": "hold", "rules": [{"on": "place", "kind": "hold_replies"}]}

and afterwards "say them" is `{"name": "go on", "events": [{"do": "release"}]}`; "go silent for two seconds" and "enter
an order by hand" are `{"events": [{"do": "silence", "seconds": 2}]}` and `{"events": [{"do": "hand_order", "symbol":
"AAPL", "quantity": "5"}]}`. A hold or a silence that another plan began lasts until an event (`release`,
`speak_again`) or its seconds end it. A gateway that starts anew reads the file anew: what is still in it happens again.

Beside it, at the same path with `.journal` added, the gateway appends one JSON object a line: `{"plan": name}` when a
plan is taken up, `{"problem": text}` when the file cannot be read (the plan in force stays), and each committed fault
(`oms.paper.fault_run.Committed`), soon after it was committed. A test waits for these lines rather than for time.
"""

import asyncio
import json
import logging
from dataclasses import asdict
from pathlib import Path

from oms.paper.fault_run import Committed
from oms.paper.faults import FaultPlan, PlanUnreadable
from oms.paper.ib_gateway import PaperIBGateway

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.02

Mark = tuple[int, int, int] | None


class FaultFile:
    """Keeps a gateway's plan as a file says. Run `watch` as a task beside the gateway, and cancel it."""

    def __init__(self, path: Path, gateway: PaperIBGateway) -> None:
        self._path = path
        self._journal = journal_of(path)
        self._gateway = gateway
        self._read: Mark = None
        self._told = len(gateway.committed)

    async def watch(self) -> None:
        """Look at the file, and write the journal, until cancelled."""
        while True:
            try:
                self.look()
            except OSError as problem:
                _LOG.error("the journal %s cannot be written: %s", self._journal, problem)
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Take up the plan if the file has changed since the last look; write what was committed."""
        mark = self._mark()
        if mark != self._read:
            self._read = mark
            self._take_up()
        committed = self._gateway.committed[self._told :]
        self._told += len(committed)
        self._write([_line(each) for each in committed])

    def _take_up(self) -> None:
        try:
            plan = FaultPlan.load(self._path)
        except FileNotFoundError:
            plan = FaultPlan()
        except (PlanUnreadable, OSError) as problem:
            _LOG.error("%s", problem)
            self._write([{"problem": str(problem)}])
            return
        _LOG.info("fault plan %r of %s is in force", plan.name, self._path)
        self._write([{"plan": plan.name}])
        self._gateway.use_plan(plan)

    def _mark(self) -> Mark:
        """What changes with the file; None when there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _write(self, lines: list[dict[str, object]]) -> None:
        if lines:
            with self._journal.open("a", encoding="utf-8") as journal:
                journal.writelines(json.dumps(line) + "\n" for line in lines)


def journal_of(path: Path) -> Path:
    """Where the gateway writes what it committed."""
    return path.with_name(path.name + ".journal")


def _line(committed: Committed) -> dict[str, object]:
    return asdict(committed)
