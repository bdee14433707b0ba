"""Evaluate-and-reserve: what is in flight counts at once, on both databases, whoever dies in between."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.store import limits
from tests.store.building import APPLE, NOON, Tale, new_id

from oms.domain import commands as cmd
from oms.domain.events import Share
from oms.domain.halts import Halt, HaltScope
from oms.domain.numbers import add, total
from oms.domain.reference import Account
from oms.domain.terms import Direction, PlacementStatus, Severity
from oms.store import Store, rebuild, tables

THREADS = 12


@pytest.fixture
def stores(url: str) -> Iterator[tuple[Store, Store]]:
    """Two programs on one database, with a portfolio and two instruments."""
    both = Store(url), Store(url)
    limits.portfolio(both[0])
    limits.portfolio(both[0], "PORT-002", default_account_id="ACCT-002")
    limits.instruments(both[0])
    yield both
    for each in both:
        each.close()


@pytest.fixture
def book(stores: tuple[Store, Store]) -> Store:
    return stores[0]


def waiting(store: Store, **request: Any) -> Tale:
    return Tale(**request).waiting().recorded(store)


def checked(store: Store, tale: Tale) -> bool:
    """The tale's check, and what it said recorded; whether it passed."""
    verdict = store.compliance.evaluate_and_reserve(tale.order, tale.at)
    tale.judged(verdict).recorded(store)
    return not verdict.violations


def verdicts(store: Store) -> int:
    with store.database.read() as connection:
        return connection.execute(select(func.count()).select_from(tables.verdicts)).scalar_one()


def test_of_200_orders_that_race_for_a_limit_that_fits_37_exactly_37_pass(
    stores: tuple[Store, Store],
) -> None:
    limits.rule(stores[0], "max_position", max_quantity="3799")
    tales = [waiting(stores[0]) for _ in range(200)]
    with ThreadPoolExecutor(THREADS) as threads:
        passed = list(threads.map(lambda n: checked(stores[n % 2], tales[n]), range(200)))
    assert sum(passed) == 37
    held = limits.reserved(stores[1])
    assert held.keys() == {(tale.id, "PORT-001") for tale, fits in zip(tales, passed, strict=True) if fits}
    assert total(held.values()) == 3700
    assert rebuild(stores[0], write=False).is_clean


def test_fills_that_land_while_others_race_count_once(stores: tuple[Store, Store]) -> None:
    """A fill moves quantity from in flight to the position; seen twice too few would pass, seen never too many."""
    limits.rule(stores[0], "max_position", max_quantity="2099")
    first = [waiting(stores[0]) for _ in range(10)]
    assert all(checked(stores[0], tale) for tale in first)
    for tale in first:
        tale.sent()
        for _ in range(10):
            tale.filled(10)
    late = [waiting(stores[0]) for _ in range(40)]

    def trade(tale: Tale) -> bool:
        tale.recorded(stores[1])
        return False

    with ThreadPoolExecutor(THREADS) as threads:
        trading = [threads.submit(trade, tale) for tale in first]
        racing = [threads.submit(checked, stores[n % 2], tale) for n, tale in enumerate(late)]
        assert sum(each.result() for each in racing) == 10
        assert not any(each.result() for each in trading)
    assert stores[0].holdings("PORT-001") == {APPLE.instrument_id: Decimal(1000)}
    assert total(limits.reserved(stores[0]).values()) == 1000
    assert rebuild(stores[0], write=False).is_clean


def test_fills_shrink_what_is_held_and_cancels_and_closes_free_it(book: Store) -> None:
    limits.rule(book, "max_position", max_quantity="300")
    filled, canceled, closed = (waiting(book) for _ in range(3))
    assert [checked(book, tale) for tale in (filled, canceled, closed)] == [True] * 3
    assert not checked(book, waiting(book)), "300 are in flight"

    filled.sent().filled(60).recorded(book)
    assert limits.reserved(book)[filled.id, "PORT-001"] == 40
    canceled.sent().do(cmd.CancelOrder()).reported(PlacementStatus.CANCELED).recorded(book)
    closed.sent().filled(10).do(cmd.CloseOrder()).reported(PlacementStatus.CANCELED).recorded(book)
    assert limits.reserved(book) == {(filled.id, "PORT-001"): 40}
    assert checked(book, waiting(book, ordered_quantity=Decimal(190))), "70 are held and 40 in flight"
    assert not checked(book, waiting(book, ordered_quantity=Decimal(1)))

    before = limits.reservations(book)
    with book.database.write() as connection:
        connection.execute(tables.reservations.delete())
    assert {each.what for each in rebuild(book, write=True).differences} == {"missing"}
    assert limits.reservations(book) == before


def test_evaluated_twice_is_reserved_once(stores: tuple[Store, Store]) -> None:
    """A worker dies after its commit; another asks again, when the limit is full and the rule has changed."""
    rule = limits.rule(stores[0], "max_position", max_quantity="100")
    tale = waiting(stores[0])
    said = stores[0].compliance.evaluate_and_reserve(tale.order, NOON)
    assert not checked(stores[0], waiting(stores[0])), "what is held counts before the pass is recorded"
    stores[0].rules.put(rule.model_copy(update={"version": 2, "parameters": {"max_quantity": "1"}}))
    assert stores[1].compliance.evaluate_and_reserve(tale.order, NOON + timedelta(minutes=5)) == said
    assert limits.reserved(stores[0]) == {(tale.id, "PORT-001"): 100}
    assert (said.order_version, said.results[0].rule_version) == (2, 1)


def test_one_order_evaluated_by_many_at_once_is_judged_once(stores: tuple[Store, Store]) -> None:
    limits.rule(stores[0], "max_position", max_quantity="100")
    tale = waiting(stores[0])
    with ThreadPoolExecutor(THREADS) as threads:
        said = list(
            threads.map(
                lambda n: stores[n % 2].compliance.evaluate_and_reserve(tale.order, NOON), range(THREADS)
            )
        )
    assert said == said[:1] * THREADS
    assert said[0].violations == ()
    assert verdicts(stores[0]) == 1


def test_asked_anew_after_a_failure_the_order_is_judged_anew(book: Store) -> None:
    rule = limits.rule(book, "max_order_quantity", max_quantity="99")
    tale = waiting(book)
    assert not checked(book, tale)
    assert limits.reserved(book) == {}
    book.rules.deactivate(rule.rule_id)
    assert checked(book, tale.waiting().recorded(book))
    assert limits.reserved(book) == {(tale.id, "PORT-001"): 100}
    assert verdicts(book) == 2


def test_an_order_that_went_on_meanwhile_holds_nothing(book: Store) -> None:
    """The check was asked for, and the order was canceled (or changed) before it ran."""
    canceled, changed = waiting(book), waiting(book)
    stale = [canceled.order, changed.order]
    canceled.do(cmd.CancelOrder()).recorded(book)
    changes = cmd.OrderChanges(ordered_quantity=Decimal(50))
    changed.do(cmd.UpdateOrder(changes=changes)).waiting().recorded(book)
    for order in stale:
        assert book.compliance.evaluate_and_reserve(order, NOON).violations == ()
    assert limits.reserved(book) == {}
    assert checked(book, changed)
    assert limits.reserved(book) == {(changed.id, "PORT-001"): 50}


def test_a_cancel_that_races_with_the_check_leaves_nothing_held(stores: tuple[Store, Store]) -> None:
    tales = [waiting(stores[0]) for _ in range(40)]

    def both(n: int) -> None:
        tale = tales[n // 2]
        if n % 2:
            stores[0].compliance.evaluate_and_reserve(tale.batches[1][0], NOON)
        else:
            tale.do(cmd.CancelOrder()).recorded(stores[1])

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(both, range(80)))
    assert limits.reserved(stores[0]) == {}


def test_what_a_person_lets_through_is_held_too(book: Store) -> None:
    """An override of the engine's no, and a pass of an external plugin."""
    limits.rule(book, "max_order_quantity", max_quantity="1")
    overridden = waiting(book)
    assert not checked(book, overridden)
    override = cmd.OverridePreTradeCompliance(override_id=new_id("OVR"), reason="agreed", approver_id="ceo")
    overridden.as_actor("chief").do(override).recorded(book)
    external = waiting(book, compliance="external").do(cmd.PassPreTradeCompliance()).recorded(book)
    assert limits.reserved(book).keys() == {(overridden.id, "PORT-001"), (external.id, "PORT-001")}


def test_opposite_orders_in_flight_do_not_help(book: Store) -> None:
    limits.rule(book, "max_position", max_quantity="100")
    assert checked(book, waiting(book, direction=Direction.SELL_SHORT))
    assert checked(book, waiting(book))
    assert not checked(book, waiting(book, ordered_quantity=Decimal(1)))
    assert not checked(book, waiting(book, direction=Direction.SELL, ordered_quantity=Decimal(1)))


def merged(store: Store, *parts: tuple[str, int], **request: Any) -> Tale:
    shares = [
        Share(order_id=new_id("ORD"), portfolio_id=owner, account_id="ACCT-001", quantity=Decimal(quantity))
        for owner, quantity in parts
    ]
    quantity = total(share.quantity for share in shares)
    return waiting(store, shares=shares, ordered_quantity=quantity, **request)


def test_a_merged_order_passes_in_all_its_portfolios_or_holds_in_none(book: Store) -> None:
    limits.rule(book, "max_position", max_quantity="100", target_accounts=("PORT-002",))
    tale = merged(book, ("PORT-001", 500), ("PORT-002", 100))
    assert checked(book, tale)
    assert limits.reserved(book) == {(tale.id, "PORT-001"): 500, (tale.id, "PORT-002"): 100}
    too_much = merged(book, ("PORT-001", 1), ("PORT-002", 1))
    verdict = book.compliance.evaluate_and_reserve(too_much.order, NOON)
    assert [(each.proposed, each.inputs["portfolio_id"]) for each in verdict.violations] == [
        ("101", "PORT-002")
    ]
    assert book.compliance.evaluate_and_reserve(too_much.order, NOON) == verdict
    assert len(limits.reserved(book)) == 2


def test_merged_orders_that_lock_the_same_portfolios_never_wait_for_ever(
    stores: tuple[Store, Store],
) -> None:
    limits.rule(stores[0], "max_position", max_quantity="199")
    parts = (("PORT-001", 10), ("PORT-002", 10)), (("PORT-002", 10), ("PORT-001", 10))
    tales = [merged(stores[0], *parts[n % 2]) for n in range(40)]
    with ThreadPoolExecutor(THREADS) as threads:
        passed = list(threads.map(lambda n: checked(stores[n % 2], tales[n]), range(40)))
    assert sum(passed) == 19


def test_what_a_merged_order_executed_counts_for_its_portfolio_before_and_after_it_is_allocated(
    book: Store,
) -> None:
    limits.rule(book, "max_position", max_quantity="100")
    tale = merged(book, ("PORT-001", 60), ("PORT-002", 40))
    assert checked(book, tale)
    left = {"PORT-001": Decimal(40), "PORT-002": Decimal(60)}

    def fits() -> None:
        for owner, quantity in left.items():
            over = waiting(book, portfolio_id=owner, ordered_quantity=add(quantity, Decimal(1)))
            assert not checked(book, over)
            asked = waiting(book, portfolio_id=owner, ordered_quantity=quantity)
            assert book.compliance.evaluate_and_reserve(asked.order, NOON).violations == ()
            asked.do(cmd.CancelOrder()).recorded(book)

    fits()
    tale.sent().filled(50).recorded(book)
    fits()
    tale.filled(50).recorded(book)
    fits()
    tale.allocated("ACCT-002", 40, "PORT-002").allocated("ACCT-001", 60).recorded(book)
    assert limits.reserved(book) == {}
    fits()


def test_a_halted_order_fails_and_says_who_halted_what_and_why(book: Store) -> None:
    limits.rule(book, "max_position", max_quantity="1")
    book.halts.set(
        Halt(scope=HaltScope.PORTFOLIO, subject="PORT-001", reason="a fat finger", by="carol", since=NOON)
    )
    tale = waiting(book)
    (result,) = book.compliance.evaluate_and_reserve(tale.order, NOON).violations
    assert (result.rule_id, result.severity) == ("HALT", Severity.HARD)
    for said in ("portfolio PORT-001", "carol", "a fat finger", NOON.isoformat()):
        assert said in result.description
    other = waiting(book, portfolio_id="PORT-002", ordered_quantity=Decimal(1))
    assert checked(book, other)
    tale.judged(book.compliance.evaluate_and_reserve(tale.order, NOON)).recorded(book)
    book.halts.lift(HaltScope.PORTFOLIO, "PORT-001", "carol", "over")
    verdict = book.compliance.evaluate_and_reserve(tale.waiting().recorded(book).order, NOON)
    assert [each.rule_id for each in verdict.violations] == ["R-max_position"]


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (HaltScope.FIRM, ""),
        (HaltScope.ACCOUNT, "ACCT-001"),
        (HaltScope.ACCOUNT, "DU777"),
        (HaltScope.ACCOUNT, "DU123"),
        (HaltScope.VENUE, "IBKR"),
    ],
)
def test_every_halt_that_covers_an_order_stops_it(book: Store, scope: HaltScope, subject: str) -> None:
    book.reference.put_account(Account(account_id="ACCT-001", name="One", broker_account="DU777"))
    book.halts.set(Halt(scope=scope, subject=subject, reason="r", by="carol", since=NOON))
    tale = waiting(book, route=cmd.Route(venue="IBKR", account="DU123"))
    assert not checked(book, tale)


def test_post_trade_is_judged_over_the_book_without_the_trade(book: Store) -> None:
    limits.rule(book, "max_position", max_quantity="100")
    tale = Tale().placed().filled(100).do(cmd.CloseOrder())
    tale.allocated("ACCT-002", 40, "PORT-002").allocated("ACCT-001", 60)
    tale.do(cmd.SendToOperations(allocation_id=new_id("ALC")), cmd.RequestPostTradeCompliance()).recorded(
        book
    )
    verdict = book.compliance.evaluate_post_trade(tale.order, NOON)
    assert verdict.violations == ()
    assert [(r.used, r.proposed, r.inputs["portfolio_id"]) for r in verdict.results] == [
        ("0", "60", "PORT-001"),
        ("0", "40", "PORT-002"),
    ]
    book.rules.deactivate("R-max_position")
    assert book.compliance.evaluate_post_trade(tale.order, NOON) == verdict
    assert limits.reserved(book) == {}
