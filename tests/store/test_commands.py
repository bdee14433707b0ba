"""Signed commands: claimed once, kept for ever, never back from where they ended; tenants and nonces beside them."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import product

import pytest
from tests.store.building import NS, new_id
from tests.store.commanding import WINDOW_NS, command, message_id, outcome

from oms.domain.errands import Refusal
from oms.domain.errors import Code
from oms.domain.programs.envelopes import CommandKind
from oms.domain.programs.outcomes import Commanded, CommandStatus, Part
from oms.domain.programs.tenants import Tenant
from oms.store import Store, Taken

S = CommandStatus
FINAL = (S.DONE, S.DRY_RUN, S.REFUSED)


def test_a_key_stands_for_its_first_command_for_ever(store: Store) -> None:
    first = command(1)
    assert store.commands.claim(first, window_ns=None) == (first, True)
    later = command(2, idem_key=first.idem_key, what="another", received_ns=NS * 2)
    assert store.commands.claim(later, window_ns=None) == (first, False)
    assert store.commands.get(first.idem_key) == store.commands.by_message(first.message_id) == first
    assert store.commands.by_message(later.message_id) is None
    assert store.commands.get("oms:nts:nobody") is None


def test_the_payload_keeps_every_digit_and_any_text(store: Store) -> None:
    prices = {"a": Decimal("4800.2500"), "b": [Decimal("0.1"), 10**30], "c": {"\x00": "\ud800 é", "d": None}}
    record = command(payload=prices)
    store.commands.claim(record, window_ns=None)
    kept = store.commands.get(record.idem_key)
    assert kept is not None
    assert str(kept.payload) == str(prices)


def test_without_a_key_a_repetition_is_the_first_one_until_the_window_has_passed(store: Store) -> None:
    first, within, after, again = (
        command(number, received_ns=NS + passed)
        for number, passed in enumerate((0, WINDOW_NS - 1, WINDOW_NS, WINDOW_NS + 5))
    )
    assert store.commands.claim(first, window_ns=WINDOW_NS) == (first, True)
    assert store.commands.claim(within, window_ns=WINDOW_NS) == (first, False)
    assert store.commands.claim(after, window_ns=WINDOW_NS) == (after, True)
    assert store.commands.claim(again, window_ns=WINDOW_NS) == (after, False)
    assert store.commands.claim(first, window_ns=WINDOW_NS) == (after, False)
    assert [one.idem_key for one in store.commands.list()] == [after.idem_key, first.idem_key]


def test_the_same_claim_after_an_answer_that_was_lost_is_no_second_command(store: Store) -> None:
    record = command()
    assert store.commands.claim(record, window_ns=WINDOW_NS)[1]
    for window_ns in (WINDOW_NS, 0, None):
        assert store.commands.claim(record, window_ns=window_ns) == (record, False)


def test_a_clock_that_is_behind_opens_no_window_anew(store: Store) -> None:
    first = command(1, received_ns=NS)
    behind = command(2, received_ns=NS - 3 * WINDOW_NS)
    store.commands.claim(first, window_ns=WINDOW_NS)
    assert store.commands.claim(behind, window_ns=WINDOW_NS) == (first, False)


def test_tenants_and_other_commands_have_windows_of_their_own(store: Store) -> None:
    records = [command(), command(what="two"), command(tenant="other")]
    for record in records:
        assert store.commands.claim(record, window_ns=WINDOW_NS) == (record, True)
    keyed = command()
    assert store.commands.claim(keyed, window_ns=None) == (keyed, True)


def test_a_message_id_is_one_commands(store: Store) -> None:
    store.commands.claim(command(1), window_ns=None)
    with pytest.raises(Taken, match=message_id(1)):
        store.commands.claim(command(2, message_id=message_id(1)), window_ns=WINDOW_NS)
    assert store.commands.get("oms:nts:2") is None
    retried = command(2)
    assert store.commands.claim(retried, window_ns=WINDOW_NS) == (retried, True)


@pytest.mark.parametrize("stands", S)
def test_a_command_never_goes_back(store: Store, stands: CommandStatus) -> None:
    for told in S:
        record = command()
        store.commands.claim(record, window_ns=None)
        if stands is not S.ENQUEUED:
            assert store.commands.progress(outcome(record, stands, detail="first"), NS + 1)
        moves = stands not in FINAL and not (stands is S.WORKING and told is S.ENQUEUED)
        assert store.commands.progress(outcome(record, told, detail="second"), NS + 2) is moves
        kept = store.commands.get(record.idem_key)
        assert kept is not None
        assert (kept.status, kept.updated_ns) == (
            (told, NS + 2) if moves else (stands, NS + (stands is not S.ENQUEUED))
        )


def test_what_became_of_a_command_is_kept_with_it(store: Store) -> None:
    record = command()
    store.commands.claim(record, window_ns=None)
    refusal = Refusal(code=Code.VALIDATION_FAILED, message="no", facts={"field": "orders.1"})
    orders = (
        Commanded(order_index=0, part=Part.ENTRY, order_id=new_id("ORD"), symbol="ES", quantity="1"),
        Commanded(order_index=1, part=Part.ENTRY, symbol="ZN", refusal=refusal),
    )
    told = outcome(record, S.DONE, orders=orders, refusal=refusal, detail="half of it")
    assert store.commands.progress(told, NS + 7)
    changes = {
        "status": S.DONE,
        "orders": orders,
        "refusal": refusal,
        "detail": "half of it",
        "updated_ns": NS + 7,
    }
    assert store.commands.get(record.idem_key) == record.model_copy(update=changes)
    assert not store.commands.progress(told, NS + 8)
    assert not store.commands.progress(outcome(command(), S.WORKING), NS)


def test_commands_end_once_however_many_say_so(url: str) -> None:
    stores = [Store(url), Store(url)]
    record = command()
    stores[0].commands.claim(record, window_ns=None)
    with ThreadPoolExecutor(8) as threads:
        told = list(
            threads.map(
                lambda number: stores[number % 2].commands.progress(
                    outcome(record, FINAL[number % 3]), NS + number
                ),
                range(24),
            )
        )
    assert sum(told) == 1
    for store in stores:
        store.close()


def test_commands_are_listed_by_arrival_for_the_tenants_that_may_be_seen(store: Store) -> None:
    records = [command(number, tenant=f"t{number % 3}", what=str(number)) for number in range(9)]
    for record in (*records[5:], *records[:5]):
        store.commands.claim(record, window_ns=None)
    assert store.commands.list() == tuple(records[::-1])
    assert store.commands.list(["t1", "t2"], limit=3) == (records[8], records[7], records[5])
    assert store.commands.list(["t1"], before=records[4].message_id) == (records[1],)
    assert store.commands.list([]) == ()


def test_a_nonce_is_its_first_holders_for_ever(store: Store) -> None:
    assert store.nonces.claim("nonce-1", "oms:nts:a", NS) == "oms:nts:a"
    assert store.nonces.claim("nonce-1", "oms:nts:b", NS * 2) == "oms:nts:a"
    assert store.nonces.claim("nonce-1", "oms:nts:a", NS * 3) == "oms:nts:a"
    assert store.nonces.claim("nonce-2", "oms:nts:b", NS) == "oms:nts:b"


def test_a_portfolio_is_one_tenants(store: Store) -> None:
    nts = store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-001", accounts=("ACCT-2",)))
    assert store.tenants.put(nts) == nts == store.tenants.get("nts") == store.tenants.of_portfolio("PORT-001")
    with pytest.raises(Taken, match="PORT-001"):
        store.tenants.put(Tenant(tenant="other", portfolio_id="PORT-001"))
    assert store.tenants.get("other") is None
    other = store.tenants.put(Tenant(tenant="other", portfolio_id="PORT-002"))
    with pytest.raises(Taken, match="nts"):
        store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-002"))
    assert store.tenants.list() == (nts, other)
    assert store.tenants.list(["PORT-002"]) == (other,)
    assert store.tenants.list([]) == ()


def test_a_tenant_stays_in_its_portfolio(store: Store) -> None:
    """Its orders are there."""
    nts = store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-001"))
    with pytest.raises(Taken, match="nts"):
        store.tenants.put(Tenant(tenant="nts", portfolio_id="PORT-003"))
    assert (store.tenants.get("nts"), store.tenants.of_portfolio("PORT-003")) == (nts, None)
    described = store.tenants.put(nts.model_copy(update={"accounts": ("ACCT-2",)}))
    assert store.tenants.get("nts") == described != nts


def test_all_kinds_and_statuses_are_read_back(store: Store) -> None:
    for number, (kind, status) in enumerate(product(CommandKind, S)):
        record = command(number, kind=kind, status=status, what=str(number))
        store.commands.claim(record, window_ns=None)
        assert store.commands.get(record.idem_key) == record
