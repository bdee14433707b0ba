"""When a command is good for the worker that acts on it, and when an entry with exits goes to its venue."""

from collections.abc import Callable
from typing import Any

import pytest

from oms.domain import commands as cmd
from oms.domain.commands import Actor
from oms.domain.errors import Code, Refused
from oms.domain.programs import envelopes
from oms.domain.programs.carrying import EntryAsk, Judging, at_its_place, seen
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.intake import SubmittedOrder
from oms.domain.programs.judging import judge
from oms.domain.programs.outcomes import CommandInput
from oms.domain.terms import Role
from tests.domain.orders import NS, Desk

SECRET = "not a secret: it signs these examples only"
WINDOW_MS = 300_000
SECOND = 10**9
ONE = {
    "orders": [
        {"contract": {"secType": "STK", "symbol": "AAPL"}, "order": {"action": "BUY", "totalQuantity": 1}}
    ]
}
NONCE = "AAAAAAAAAAAAAAAAAAAAAA"


def judging(
    *,
    started_ns: int = NS,
    at_home: bool = True,
    idem_key: str | None = "oms:nts:one",
    stands_under: str = "oms:nts:one",
    payload: dict[str, Any] | None = None,
    kind: CommandKind = CommandKind.PING,
    roles: tuple[Role, ...] = (Role.PM,),
    received_ns: int = NS,
) -> Judging:
    """A ping that was signed at NS; the keywords say what is otherwise."""
    envelope = envelopes.sign(
        kind, "nts", payload or {}, SECRET, nonce=NONCE, ts_ms=NS // 1_000_000, idem_key=idem_key
    )
    asked = CommandInput(
        message_id="1",
        idem_key=stands_under,
        envelope=envelopes.text(envelope),
        actor=Actor(key="program", roles=roles),
        received_ns=received_ns,
    )
    return Judging(asked=asked, started_ns=started_ns, at_home=at_home)


def code_of(given: Judging, *secrets: str) -> Code | None:
    try:
        judge(given, secrets or (SECRET,), WINDOW_MS)
    except Refused as refused:
        return refused.code
    return None


@pytest.mark.parametrize("seconds", [0, 299, 300, -299, -300])
def test_a_command_is_good_within_the_window_of_its_start(seconds: int) -> None:
    given = judging(started_ns=NS + seconds * SECOND, received_ns=NS + min(seconds, 0) * SECOND)
    assert code_of(given) is None


@pytest.mark.parametrize("seconds", [301, -301, 10**6])
def test_out_of_the_window_it_is_stale_whenever_it_says_it_was_received(seconds: int) -> None:
    for received_ns in (NS, NS + seconds * SECOND):
        assert (
            code_of(judging(started_ns=NS + seconds * SECOND, received_ns=received_ns)) is Code.STALE_ENVELOPE
        )


def test_clocks_may_differ_by_a_little() -> None:
    assert code_of(judging(received_ns=NS + 5 * SECOND)) is None
    assert code_of(judging(received_ns=NS + 5 * SECOND + 1)) is Code.STALE_ENVELOPE


def test_any_secret_of_the_list_is_good_and_none_is_never_enough() -> None:
    assert code_of(judging(), "another", SECRET) is None
    assert code_of(judging(), "another") is Code.BAD_SIGNATURE
    with pytest.raises(Refused) as refused:
        judge(judging(), (), WINDOW_MS)
    assert refused.value.code is Code.BAD_SIGNATURE


KEYS: dict[str, tuple[str | None, dict[str, Any], str]] = {
    "its own": ("oms:nts:one", {"idem_hint": "two"}, "oms:nts:one"),
    "the hint of its payload": (None, {"idem_hint": "two"}, "oms:nts:two"),
    "its nonce": (None, {}, f"oms:nts:n-{NONCE}"),
}


@pytest.mark.parametrize("what", KEYS)
def test_a_command_stands_under_one_key_and_at_its_own_workflow(what: str) -> None:
    idem_key, payload, stands_under = KEYS[what]
    assert code_of(judging(idem_key=idem_key, payload=payload, stands_under=stands_under)) is None
    for other in {"oms:nts:one", "oms:nts:two", f"oms:nts:n-{NONCE}"} - {stands_under}:
        given = judging(idem_key=idem_key, payload=payload, stands_under=other)
        assert code_of(given) is Code.BAD_SIGNATURE
    elsewhere = judging(idem_key=idem_key, payload=payload, stands_under=stands_under, at_home=False)
    assert code_of(elsewhere) is Code.BAD_SIGNATURE


def test_a_key_of_another_tenant_is_refused() -> None:
    given = judging(idem_key="oms:other:one", stands_under="oms:other:one")
    assert code_of(given) is Code.VALIDATION_FAILED


def test_what_moves_something_is_for_pm() -> None:
    assert code_of(judging(roles=(Role.VIEWER,))) is None
    assert code_of(judging(kind=CommandKind.FLATTEN)) is None
    assert code_of(judging(kind=CommandKind.FLATTEN, roles=(Role.TRADER,))) is Code.NOT_AUTHORIZED
    assert code_of(judging(kind=CommandKind.SUBMIT, payload=ONE, roles=(Role.OPS,))) is Code.NOT_AUTHORIZED


def test_an_entry_keeps_its_place_when_it_travels_alone() -> None:
    order = SubmittedOrder.model_validate(ONE["orders"][0])
    for index in (0, 7, 199):
        ask = EntryAsk(asked=judging().asked, tenant="nts", order_index=index, order=order)
        assert at_its_place(ask).orders[index] == order


# -- the checks of an entry with exits ---------------------------------------------------------------


def passed() -> Desk:
    return Desk().pass_pre_trade()


def failed() -> Desk:
    return Desk().fail_pre_trade()


def overridden() -> Desk:
    desk = failed()
    override = cmd.OverridePreTradeCompliance(override_id="OVR-1", reason="in writing", approver_id="jane")
    desk.command(override, Role.COMPLIANCE)
    return desk


def canceled_before() -> Desk:
    desk = Desk()
    desk.command(cmd.CancelOrder(reason="no longer wanted"), Role.PM)
    return desk


def canceled_after() -> Desk:
    desk = passed()
    desk.command(cmd.CancelOrder(reason="no longer wanted"), Role.PM)
    return desk


@pytest.mark.parametrize(
    ("makers", "failing", "waits"),
    [
        ((passed, passed), 0, False),
        ((passed, overridden), 0, False),
        ((passed, Desk), 0, True),
        ((Desk().request_pre_trade, passed), 0, True),
        ((passed, failed), 1, False),
        ((failed, Desk), 1, False),
        ((failed, canceled_before), 2, False),
        ((canceled_after, passed), 0, False),
    ],
)
def test_one_that_never_passes_keeps_all_of_them(
    makers: tuple[Callable[[], Desk], ...], failing: int, waits: bool
) -> None:
    found = seen([make().order for make in makers])
    assert (len(found.failing), found.waits) == (failing, waits)


def test_why_one_fails_is_told_and_whether_it_is_over() -> None:
    (check,) = seen([failed().order]).failing
    assert (check.is_over, check.version) == (False, failed().order.version)
    assert check.why.startswith("it failed its pre-trade check")
    (ended,) = seen([canceled_before().order]).failing
    assert (ended.is_over, ended.why) == (True, "no longer wanted")
