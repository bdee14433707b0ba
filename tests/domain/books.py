"""Portfolios and orders for tests of rules, in few words."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from oms.domain.commands import RuleResult
from oms.domain.reference import Instrument
from oms.domain.rules.book import Book, Line, Proposal
from oms.domain.rules.engine import evaluate
from oms.domain.rules.rule import Rule
from tests.domain.orders import NOW


def share(symbol: str, **terms: Any) -> Instrument:
    return Instrument(instrument_id=f"INS-{symbol}", symbol=symbol, **terms)


APPLE = share("AAPL", issuer="Apple Inc.", sector="Technology", country="US")
MICROSOFT = share("MSFT", issuer="Microsoft", sector="Technology", country="US")
SAP = share("SAP", issuer="SAP SE", sector="Technology", country="DE", currency="EUR")
FUTURE = share("ES", multiplier="50", issuer="CME", sector="Index", country="US")
BOND = share("AAPLB", issuer="Apple Inc.", sector="Fixed income", country="US")
EVERY = {each.symbol: each for each in (APPLE, MICROSOFT, SAP, FUTURE, BOND)}


def rule(rule_type: str, parameters: dict[str, Any], **rest: Any) -> Rule:
    given = {"rule_id": "R-1", "name": "A rule", "created_by": "compliance-key", "created_at": NOW, **rest}
    return Rule(rule_type=rule_type, parameters=parameters, **given)


def line(
    symbol: str,
    position: str = "0",
    buying: str = "0",
    selling: str = "0",
    price: str | None = "10",
) -> Line:
    return Line.model_validate(
        {
            "instrument": EVERY[symbol],
            "position": position,
            "buying": buying,
            "selling": selling,
            "price": price,
        }
    )


def book(*lines: Line, **rest: Any) -> Book:
    """A portfolio in dollars worth 100000, with these lines."""
    given: dict[str, Any] = {"portfolio_id": "PORT-001", "base_currency": "USD", "at": NOW, **rest}
    given.setdefault("net_asset_value", "100000")
    return Book.model_validate({"lines": {each.instrument.instrument_id: each for each in lines}, **given})


def order(direction: str = "Buy", quantity: str = "100", symbol: str = "AAPL", **rest: Any) -> Proposal:
    """A market order valued at 10."""
    given = {"order_id": "ORD-1", "order_type": "Market", "price": "10", **rest}
    return Proposal.model_validate(
        {"instrument": EVERY[symbol], "direction": direction, "quantity": quantity, **given}
    )


def limit_order(price: str, **rest: Any) -> Proposal:
    return order(order_type="Limit", limit_price=price, price=price, **rest)


def recent(seconds_ago: float, proposal: Proposal, **rest: Any) -> dict[str, Any]:
    """`proposal`, as it was checked that long ago."""
    asked = proposal.model_dump(include={"order_id", "direction", "quantity", "limit_price"})
    return {
        **asked,
        "instrument_id": proposal.instrument.instrument_id,
        "at": NOW - timedelta(seconds=seconds_ago),
        **rest,
    }


def said(the_rule: Rule, the_book: Book, proposal: Proposal) -> RuleResult:
    (result,) = evaluate([the_rule], the_book, proposal)
    return result


def numbers(result: RuleResult) -> tuple[Decimal, ...]:
    """Limit, used, proposed, remaining."""
    return tuple(
        Decimal(text)
        for text in (result.limit, result.used, result.proposed, result.remaining)
        if text is not None
    )
