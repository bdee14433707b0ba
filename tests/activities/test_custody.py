"""The custodian over real HTTP: instructions, its word, its statement; killed and back it knows what it knew."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from oms.activities.custody import CustodyActivities
from oms.domain.facts import SettlementReported
from oms.domain.settlement import SettlementInstruction, instruction
from tests.domain.orders import Desk
from tests.workflows.world import custodian

AGAIN = timedelta(seconds=7)


@contextmanager
def custody(file: Path, port: int = 0) -> Iterator[CustodyActivities]:
    with custodian(file, port) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield CustodyActivities(client, AGAIN)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "custodian.db"


def told(settles_in: timedelta = timedelta(0), **changes: Any) -> SettlementInstruction:
    """The instruction of an order of 100 at 10, due so long from now."""
    made = instruction(Desk().confirm().instruct().order)
    due = datetime.now(UTC).replace(microsecond=0) + settles_in
    return made.model_copy(update={"settles_at": due, **changes})


def instruct(activities: CustodyActivities, what: SettlementInstruction) -> bool:
    done: bool = ActivityEnvironment().run(activities.instruct_custodian, what)
    return done


def ask(activities: CustodyActivities, what: SettlementInstruction) -> SettlementReported:
    said: SettlementReported = ActivityEnvironment().run(activities.ask_custodian, what)
    return said


def not_yet(activities: CustodyActivities, what: SettlementInstruction) -> ApplicationError:
    with pytest.raises(ApplicationError) as raised:
        ask(activities, what)
    error = raised.value
    assert (error.type, error.non_retryable, error.next_retry_delay) == ("NotYet", False, AGAIN)
    assert error.category is ApplicationErrorCategory.BENIGN
    return error


def test_an_instruction_twice_is_one(file: Path) -> None:
    with custody(file) as activities:
        what = told()
        assert instruct(activities, what)
        assert instruct(activities, what)


def test_another_instruction_under_one_id_is_never_tried_again(file: Path) -> None:
    with custody(file) as activities:
        what = told()
        instruct(activities, what)
        with pytest.raises(ApplicationError) as raised:
            instruct(activities, what.model_copy(update={"quantity": Decimal(101)}))
    assert (raised.value.type, raised.value.non_retryable) == ("InstructionConflict", True)


def test_before_its_date_an_instruction_is_pending(file: Path) -> None:
    with custody(file) as activities:
        what = told(timedelta(hours=1))
        instruct(activities, what)
        assert "is pending at the custodian" in str(not_yet(activities, what))


def test_an_instruction_that_the_custodian_does_not_know_is_given_again(file: Path) -> None:
    with custody(file) as activities:
        what = told()
        assert "given again" in str(not_yet(activities, what))
        assert ask(activities, what).settled


def test_the_statement_is_the_custodians_own(file: Path) -> None:
    with custody(file) as activities:
        what = told()
        instruct(activities, what)
        said = ask(activities, what)
    assert (said.settled, said.instruction_id) == (True, what.instruction_id)
    assert said.statement is not None
    assert (said.statement.quantity, said.statement.net_amount) == (what.quantity, what.net_amount)
    assert said.statement.settled_on == what.settlement_date
    assert said.ts_event_ns == int(what.settles_at.timestamp()) * 1_000_000_000


def test_a_plan_makes_statements_differ_and_settlements_fail(file: Path) -> None:
    with custody(file) as activities:
        what = told()
        instruct(activities, what)
        plans = f"/plans/{what.symbol}"
        activities._client.put(plans, json={"differ": {"commission": "0.25"}}).raise_for_status()
        differs = ask(activities, what).statement
        activities._client.put(plans, json={"fail": "no securities"}).raise_for_status()
        failed = ask(activities, what)
    assert differs is not None
    assert differs.commission == what.commission + Decimal("0.25")
    assert (failed.settled, failed.reason, failed.statement) == (False, "no securities", None)


def test_a_custodian_that_comes_back_knows_what_it_knew(file: Path) -> None:
    what = told()
    with custody(file) as activities:
        instruct(activities, what)
        activities._client.put(f"/plans/{what.symbol}", json={"fail": "strike"}).raise_for_status()
    with custody(file) as activities:
        assert ask(activities, what).reason == "strike"
        assert instruct(activities, what)
        with pytest.raises(ApplicationError, match="another instruction"):
            instruct(activities, what.model_copy(update={"symbol": "OTHER"}))


def test_a_custodian_that_is_away_is_a_plain_error_and_so_tried_again(file: Path) -> None:
    what = told()
    with custody(file) as activities:
        address = activities._client.base_url
    with httpx.Client(base_url=address, trust_env=False) as client, pytest.raises(httpx.TransportError):
        instruct(CustodyActivities(client), what)


def test_a_body_that_does_not_fit_its_path_is_refused(file: Path) -> None:
    with custody(file) as activities:
        client = activities._client
        mismatch = client.put("/instructions/SI-other", content=told().model_dump_json())
        assert mismatch.status_code == 422
        assert client.put("/instructions/SI-1", content="{}").status_code == 422
        assert client.put("/plans/AAPL", content='{"fial": "x"}').status_code == 422
        assert client.get("/healthz").json() == {"status": "ok"}
