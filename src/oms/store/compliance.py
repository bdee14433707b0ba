"""What a portfolio's rules say of an order, over what it holds and has in flight, in one transaction.

An order that passes holds its part of every limit from the same transaction on, so of orders that race for the last
of a limit exactly as many pass as fit. The lock is the portfolio's: two portfolios never wait for each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Connection, select

from oms.domain.commands import RuleResult
from oms.domain.compliance import Verdict
from oms.domain.control import ControlEvent
from oms.domain.errors import Code, Refused
from oms.domain.halts import Dealing
from oms.domain.model import Open
from oms.domain.order import Order
from oms.domain.reference import Portfolio
from oms.domain.reserving import Part, executed_parts, held_in_advance, ordered_parts
from oms.domain.rules.book import Book, Proposal
from oms.domain.rules.engine import Headroom, commit, evaluate, headroom, needs
from oms.domain.rules.rule import Rule
from oms.domain.terms import State
from oms.store import tables
from oms.store.books import POST_TRADE, PRE_TRADE, Books
from oms.store.database import Database
from oms.store.halting import halted_result, standing_halt
from oms.store.projection import reservation_row
from oms.store.rules import Rules
from oms.store.watching import Watch

_RESULTS = TypeAdapter(tuple[RuleResult, ...])


class WhatIf(Open):
    """An order that nobody gave, for a portfolio and one of its accounts (the portfolio's default unless named)."""

    portfolio_id: str
    account_id: str | None = None
    proposal: Proposal

    @property
    def dealing(self) -> Dealing:
        return Dealing(
            frozenset({self.portfolio_id}), frozenset({self.account_id} if self.account_id else ())
        )


@dataclass(frozen=True)
class _Check:
    """One order version at one gate, in parts by portfolio."""

    order: Order
    gate: str
    version: int
    parts: tuple[Part, ...]
    now: datetime


class ComplianceBook:
    """Judges orders over the book as it is. Every check of an order is one transaction, and is kept: an order
    version is judged once at a gate, however often it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rules = Rules(database)
        self._books = Books(database)
        self._keep = database.insert(tables.verdicts)
        self._reserve = database.upsert(tables.reservations)

    def evaluate_and_reserve(self, order: Order, now: datetime) -> Verdict:
        """What the rules say of the whole order, which waits for it; one that passes holds its limits from here on.

        Asked again for the version that waits, the answer and what is held are those of the first time. An order
        that does not wait any more (it was canceled or changed meanwhile) is judged and holds nothing. A merged
        order is judged part by part in the portfolios of its sources, and holds in all of them or in none. Where
        trading is halted the order fails by the rule HALT.
        """
        check = _Check(order, PRE_TRADE, order.pre_trade.version, ordered_parts(order), now)
        with self._database.write() as connection:
            portfolios = self._books.lock(connection, [part.portfolio_id for part in check.parts])
            kept = _kept(connection, check)
            if kept is not None:
                return kept
            # Locked before the book is read: what is recorded of the order from here on comes after its reservation.
            waits = _still_waits(connection, order)
            verdict = self._judged(connection, check, portfolios)
            if waits and not verdict.violations:
                rows = [reservation_row(order.order_id, held) for held in held_in_advance(order)]
                connection.execute(self._reserve, rows)
            return verdict

    def evaluate_post_trade(self, order: Order, now: datetime) -> Verdict:
        """What the rules say of the trade as it was executed, over the book without it; nothing is held.

        Each portfolio that the trade is allocated to is judged by itself. Asked again, the answer is the same. Where
        nothing was executed there is nothing to judge.
        """
        check = _Check(order, POST_TRADE, order.post_trade.version, executed_parts(order), now)
        with self._database.write() as connection:
            portfolios = self._books.lock(connection, [part.portfolio_id for part in check.parts])
            kept = _kept(connection, check)
            return self._judged(connection, check, portfolios) if kept is None else kept

    def what_if(self, asked: Sequence[WhatIf], now: datetime) -> tuple[Verdict, ...]:
        """What the rules would say of several orders, each with those before it in flight. Nothing is written.

        Answers are in the order asked, for order version 0. Raises Refused: PORTFOLIO_NOT_FOUND.
        """
        books: dict[str, Book] = {}
        verdicts = []
        with self._database.snapshot() as connection:
            rules = [self._applying_to(connection, each) for each in asked]
            for portfolio_id in {each.portfolio_id for each in asked}:
                own = [n for n, each in enumerate(asked) if each.portfolio_id == portfolio_id]
                books[portfolio_id] = self._books.read(
                    connection,
                    self._portfolio(connection, portfolio_id),
                    needs(rule for n in own for rule in rules[n]),
                    now,
                    instruments=[asked[n].proposal.instrument for n in own],
                )
            for each, applying in zip(asked, rules, strict=True):
                book = books[each.portfolio_id]
                proposal = _priced(each.proposal, book)
                halt = standing_halt(connection, each.dealing)
                results = evaluate(applying, book, proposal) if halt is None else (halted_result(halt),)
                verdicts.append(Verdict(order_version=0, results=results))
                books[each.portfolio_id] = commit(book, proposal)
        return tuple(verdicts)

    def headroom(self, portfolio_id: str, rule_id: str | None, now: datetime) -> tuple[Headroom, ...]:
        """What is left below the limits that apply to the portfolio, oldest rule first; of one rule if so asked.

        Rules without a limit are left out. Raises Refused: PORTFOLIO_NOT_FOUND; with `rule_id` also RULE_NOT_FOUND
        where no such rule applies, NOT_COMPUTABLE where a price, a rate or the net asset value is not known.
        """
        with self._database.snapshot() as connection:
            portfolio = self._portfolio(connection, portfolio_id)
            rules = [
                rule
                for rule in self._rules.applying(connection, portfolio_id, portfolio.default_account_id)
                if rule_id in (None, rule.rule_id)
            ]
            book = self._books.read(connection, portfolio, needs(rules), now)
        if rule_id is not None and not rules:
            raise Refused(
                Code.RULE_NOT_FOUND, f"No active rule {rule_id!r} applies to {portfolio_id}.", rule_id=rule_id
            )
        found = (_headroom(rule, book, strict=rule_id is not None) for rule in rules)
        return tuple(room for room in found if room is not None)

    def book(self, portfolio_id: str, rules: Iterable[Rule], now: datetime) -> Book:
        """The portfolio's book with what `rules` look at. Raises Refused: PORTFOLIO_NOT_FOUND."""
        with self._database.snapshot() as connection:
            portfolio = self._portfolio(connection, portfolio_id)
            return self._books.read(connection, portfolio, needs(rules), now)

    def watch(self, now: datetime) -> tuple[ControlEvent, ...]:
        """Compare every portfolio with its passive limits; what is over them now and was not, or the reverse.

        Each change is written down and told in one transaction of its portfolio: watching twice, or two who watch at
        once, tell once.
        """
        return Watch(self._database, self._books, self._rules).all(now)

    def _judged(self, connection: Connection, check: _Check, portfolios: dict[str, Portfolio]) -> Verdict:
        """The verdict, kept."""
        order = check.order
        results: list[RuleResult] = []
        rows = []
        for part in check.parts:
            portfolio = portfolios.get(part.portfolio_id) or _unknown(part)
            said = self._said(connection, check, part, portfolio)
            if len(check.parts) > 1:
                said = tuple(_in_portfolio(result, part.portfolio_id) for result in said)
            results += said
            rows.append(
                {
                    "order_id": order.order_id,
                    "gate": check.gate,
                    "order_version": check.version,
                    "portfolio_id": part.portfolio_id,
                    "instrument_id": order.instrument_id,
                    "direction": order.direction.value,
                    "quantity": part.quantity,
                    "limit_price": order.limit_price,
                    "at": check.now,
                    "body": _RESULTS.dump_json(said).decode(),
                }
            )
        if rows:
            connection.execute(self._keep, rows)
        return Verdict(order_version=check.version, results=tuple(results))

    def _said(
        self, connection: Connection, check: _Check, part: Part, portfolio: Portfolio
    ) -> tuple[RuleResult, ...]:
        """What the rules say of one part. A halt stops orders, and nothing that was traded before."""
        order = check.order
        if check.gate == PRE_TRADE:
            halt = standing_halt(connection, order.dealing)
            if halt is not None:
                return (halted_result(halt),)
        rules = self._rules.applying(connection, part.portfolio_id, *part.account_ids)
        if not rules:
            return ()
        book = self._books.read(
            connection,
            portfolio,
            needs(rules),
            check.now,
            instruments=[order.instrument],
            without=order.order_id,
        )
        return evaluate(rules, book, _priced(_proposal(check, part), book))

    def _applying_to(self, connection: Connection, asked: WhatIf) -> tuple[Rule, ...]:
        account_id = asked.account_id
        if account_id is None:
            account_id = self._portfolio(connection, asked.portfolio_id).default_account_id
        return self._rules.applying(connection, asked.portfolio_id, account_id)

    def _portfolio(self, connection: Connection, portfolio_id: str) -> Portfolio:
        portfolio = self._books.portfolio(connection, portfolio_id)
        if portfolio is None:
            raise Refused(
                Code.PORTFOLIO_NOT_FOUND,
                f"There is no portfolio {portfolio_id!r}.",
                portfolio_id=portfolio_id,
            )
        return portfolio


def _kept(connection: Connection, check: _Check) -> Verdict | None:
    """What was said of this order version at this gate, None before it was judged."""
    verdicts = tables.verdicts.c
    query = (
        select(verdicts.body)
        .where(
            verdicts.order_id == check.order.order_id,
            verdicts.gate == check.gate,
            verdicts.order_version == check.version,
        )
        .order_by(verdicts.portfolio_id)
    )
    bodies = connection.scalars(query).all()
    if not bodies:
        return None
    results = tuple(result for body in bodies for result in _RESULTS.validate_json(body))
    return Verdict(order_version=check.version, results=results)


def _still_waits(connection: Connection, order: Order) -> bool:
    """Whether the order waits for this check, as far as it is recorded; its row is locked from here on."""
    orders = tables.orders.c
    query = select(orders.version, orders.body).where(orders.order_id == order.order_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is not None and row.version > order.version:
        recorded = Order.model_validate_json(row.body)
        return _waits(recorded) and recorded.pre_trade.version == order.pre_trade.version
    return _waits(order)


def _waits(order: Order) -> bool:
    return order.state is State.PENDING_PRE_TRADE_COMPLIANCE


def _proposal(check: _Check, part: Part) -> Proposal:
    order, executed = check.order, check.gate == POST_TRADE
    return Proposal(
        order_id=order.order_id,
        instrument=order.instrument,
        direction=order.direction,
        quantity=part.quantity,
        order_type=order.order_type,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        handling=order.request.handling,
        price=order.average_price if executed else None,
        executed=executed,
    )


def _priced(proposal: Proposal, book: Book) -> Proposal:
    """`proposal` with a price: its own, else what it is valued at given the last known one, else none."""
    if proposal.price is not None:
        return proposal
    line = book.lines.get(proposal.instrument.instrument_id)
    last = None if line is None else line.price
    return proposal.model_copy(update={"price": proposal.valued_at(last)})


def _in_portfolio(result: RuleResult, portfolio_id: str) -> RuleResult:
    return result.model_copy(update={"inputs": {**result.inputs, "portfolio_id": portfolio_id}})


def _headroom(rule: Rule, book: Book, *, strict: bool) -> Headroom | None:
    try:
        return headroom(rule, book)
    except Refused:
        if strict:
            raise
        return None


def _unknown(part: Part) -> Portfolio:
    """A portfolio nobody described: without net asset value, so the rules that need one fail."""
    return Portfolio(
        portfolio_id=part.portfolio_id, name=part.portfolio_id, default_account_id=part.account_ids[0]
    )
