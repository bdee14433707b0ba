"""Which halt stops what, and what is said of it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.domain.errors import Code, Refused
from oms.domain.events import Share
from oms.domain.halts import Dealing, Halt, HaltScope, check_subject, covering, dealing, not_halted, refusal
from tests.domain import orders

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FIRM = Halt(scope="firm", reason="a fat finger", by="carol", since=NOON)
PORTFOLIO = Halt(scope="portfolio", subject="PORT-001", reason="a breach", by="carol", since=NOON)
ACCOUNT = Halt(scope="account", subject="DU123456", reason="a margin call", by="oscar", since=NOON)
VENUE = Halt(scope="venue", subject="IBKR", reason="bad fills", by="oscar", since=NOON)
ALL = (VENUE, ACCOUNT, PORTFOLIO, FIRM)


OURS = Dealing(frozenset({"PORT-001"}), frozenset({"ACCT-001"}), "DU123456", "IBKR")
OTHERS = Dealing(frozenset({"PORT-002"}), frozenset({"ACCT-002"}), "DU654321", "OPTIONS")
SILENT = Dealing(frozenset(), frozenset())


def test_nothing_stops_where_nothing_is_halted() -> None:
    assert covering((), OURS, {}) is None


def test_the_firm_stops_everything_even_what_says_nothing_of_itself() -> None:
    assert covering([FIRM], SILENT, {}) == FIRM
    assert covering([FIRM], OTHERS, {}) == FIRM


@pytest.mark.parametrize("halt", [PORTFOLIO, ACCOUNT, VENUE])
def test_a_halt_stops_its_subject_alone(halt: Halt) -> None:
    assert covering([halt], OURS, {}) == halt
    assert covering([halt], OTHERS, {}) is None
    assert covering([halt], SILENT, {}) is None


def test_a_name_counts_in_its_own_scope_only() -> None:
    crossed = Dealing(frozenset({"X"}), frozenset({"PORT-001"}), "PORT-001", "PORT-001")
    assert covering([PORTFOLIO], crossed, {}) is None


@pytest.mark.parametrize("subject", ["ACCT-001", "DU123456"])
def test_an_account_is_halted_under_any_of_its_names_wherever_the_order_goes(subject: str) -> None:
    halt = ACCOUNT.model_copy(update={"subject": subject})
    names = {"ACCT-001": {"DU123456"}, "ACCT-002": {"DU654321"}}
    elsewhere = OURS.at("IBKR", "DU654321")
    assert covering([halt], elsewhere, names) == halt
    assert covering([halt], OTHERS.at("IBKR", "DU123456"), names) == halt
    assert covering([halt], OTHERS, names) is None


def test_an_order_that_was_merged_is_halted_for_each_of_its_portfolios_and_accounts() -> None:
    shares = [
        Share(order_id=f"ORD-{n}", portfolio_id=f"PORT-00{n}", account_id=f"ACCT-00{n}", quantity=50)
        for n in (1, 2)
    ]
    merged = dealing(orders.opening().request, "ACCT-001", shares)
    for scope, subject in (("portfolio", "PORT-002"), ("account", "ACCT-002")):
        halt = FIRM.model_copy(update={"scope": HaltScope(scope), "subject": subject})
        assert covering([halt], merged, {}) == halt


@given(st.permutations(ALL), st.integers(0, 4))
def test_the_widest_halt_is_the_one_that_is_named(halts: list[Halt], kept: int) -> None:
    standing = halts[:kept]
    widest = [halt for halt in reversed(ALL) if halt in standing]
    assert covering(standing, OURS, {}) == (widest[0] if widest else None)


def test_a_refusal_says_what_who_when_and_why() -> None:
    refused = refusal(PORTFOLIO)
    assert (refused.code, refused.status) == (Code.HALTED, 409)
    for said in ("portfolio PORT-001", "carol", NOON.isoformat(), "a breach"):
        assert said in refused.message
    assert refused.facts == {
        "scope": "portfolio",
        "subject": "PORT-001",
        "reason": "a breach",
        "by": "carol",
        "since": NOON.isoformat(),
    }


@pytest.mark.parametrize("scope", [HaltScope.PORTFOLIO, HaltScope.ACCOUNT, HaltScope.VENUE])
def test_every_scope_but_the_firm_names_its_subject(scope: HaltScope) -> None:
    check_subject(scope, "X")
    with pytest.raises(Refused, match=f"name the {scope}") as refused:
        check_subject(scope, "")
    assert refused.value.facts["field"] == "subject"


def test_the_firm_has_no_subject() -> None:
    check_subject(HaltScope.FIRM, "")
    with pytest.raises(Refused, match="the firm is one") as refused:
        check_subject(HaltScope.FIRM, "PORT-001")
    assert refused.value.code is Code.VALIDATION_FAILED


def test_lifting_what_is_not_there_names_what_is() -> None:
    later = FIRM.model_copy(update={"since": NOON + timedelta(hours=1)})
    refused = not_halted(HaltScope.PORTFOLIO, "PORT-002", [PORTFOLIO, later])
    assert (refused.code, refused.status) == (Code.INVALID_STATE, 409)
    assert (
        refused.message == "Trading is not halted for portfolio PORT-002; halted: portfolio PORT-001, firm."
    )
    assert refused.facts["halted"] == ["portfolio PORT-001", "firm"]
    assert "halted: nothing" in not_halted(HaltScope.FIRM, "", []).message
