"""The rule engine, pure: rules, what a portfolio holds and an order give results, and nothing else does.

A rule that cannot be computed fails: a gate that does not know does not open.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from oms.domain.commands import RuleResult
from oms.domain.errors import Code, Refused
from oms.domain.model import Model, Open
from oms.domain.numbers import ZERO, Exact, add, plain, ratio, subtract
from oms.domain.rules.book import Book, Line, Proposal, Recent
from oms.domain.rules.registry import typed
from oms.domain.rules.rule import Rule
from oms.domain.rules.rule_type import Finding, Needs, NotKnown, RuleType
from oms.domain.rules.worth import flat, line_of, order_value

_LONGEST_DESCRIPTION = 1000
_Judged = Callable[[RuleType[Any], Model], Finding | None]


class Headroom(Open):
    """What is left below a rule's limit: limit less current value, negative when it is exceeded.

    The values are in the rule's own unit; a concentration limit's are money. `headroom_pct`: headroom / limit.
    """

    rule_id: str
    portfolio_id: str
    current_value: Exact
    limit_value: Exact
    headroom: Exact
    headroom_pct: Exact


def evaluate(rules: Iterable[Rule], book: Book, proposal: Proposal) -> tuple[RuleResult, ...]:
    """What each active rule says of `proposal`, in the order given."""

    def check(rule_type: RuleType[Any], parameters: Model) -> Finding:
        if proposal.executed and rule_type.before_trade_only:
            return Finding(passed=True, description="this rule looks at orders before they trade")
        finding = rule_type.check(parameters, book, proposal)
        if not isinstance(finding, Finding):
            raise TypeError(f"{rule_type.name} answers no Finding")
        return finding

    return _results(rules, check)


def breaches(rules: Iterable[Rule], book: Book) -> tuple[RuleResult, ...]:
    """The passive limits that `book` exceeds, or that cannot be computed: positions and prices, nothing in flight."""
    held = book.model_copy(update={"lines": {i: _held(line) for i, line in book.lines.items()}})

    def watch(rule_type: RuleType[Any], parameters: Model) -> Finding | None:
        return rule_type.breach(parameters, held)

    return tuple(result for result in _results(rules, watch) if not result.passed)


def headroom(rule: Rule, book: Book) -> Headroom | None:
    """What is left below the rule's limit, with everything in flight counted; None for a rule without a limit.

    Raises Refused: VALIDATION_FAILED where the rule cannot be read, NOT_COMPUTABLE where a price, a rate or the net asset
    value is not known.
    """
    rule_type, parameters = typed(rule)
    try:
        room = rule_type.headroom(parameters, book)
    except NotKnown as missing:
        raise Refused(Code.NOT_COMPUTABLE, f"{missing}.", rule_id=rule.rule_id) from missing
    if room is None:
        return None
    left = subtract(room.limit, room.current)
    return Headroom(
        rule_id=rule.rule_id,
        portfolio_id=book.portfolio_id,
        current_value=room.current,
        limit_value=room.limit,
        headroom=left,
        headroom_pct=ratio(left, room.limit) if room.limit else ZERO,
    )


def commit(book: Book, proposal: Proposal) -> Book:
    """`book` with `proposal` in flight, so that the next of several orders is checked with it."""
    line = line_of(book, proposal)
    side = "buying" if proposal.direction.sign > 0 else "selling"
    changes = {
        side: add(getattr(line, side), proposal.quantity),
        # A price that only this order names values nothing that was unpriced before it.
        "price": proposal.price if line.price is None and flat(line) else line.price,
    }
    try:
        traded = order_value(book, proposal)
    except NotKnown:
        traded = ZERO
    recent = Recent(
        order_id=proposal.order_id,
        instrument_id=proposal.instrument.instrument_id,
        direction=proposal.direction,
        quantity=proposal.quantity,
        limit_price=proposal.limit_price,
        at=book.at,
    )
    return book.model_copy(
        update={
            "lines": {**book.lines, proposal.instrument.instrument_id: line.model_copy(update=changes)},
            "turnover": None if book.turnover is None else add(book.turnover, traded),
            "recent": (*book.recent, recent),
        }
    )


def needs(rules: Iterable[Rule]) -> Needs:
    """What the book must hold so that `rules` can be evaluated. A rule that cannot be read needs nothing."""
    each = [_needs(rule) for rule in rules if rule.active]
    named = {instrument_id for need in each for instrument_id in need.instrument_ids}
    return Needs(
        window_seconds=max((need.window_seconds for need in each), default=0),
        turnover=any(need.turnover for need in each),
        instrument_ids=tuple(sorted(named)),
    )


def _needs(rule: Rule) -> Needs:
    try:
        rule_type, parameters = typed(rule)
        return rule_type.needs(parameters)
    except Exception:  # noqa: BLE001 - the check itself will say what is wrong with the rule
        return Needs()


def _held(line: Line) -> Line:
    if not (line.buying or line.selling):
        return line
    return line.model_copy(update={"buying": ZERO, "selling": ZERO})


def _results(rules: Iterable[Rule], judge: _Judged) -> tuple[RuleResult, ...]:
    results = (_judged(rule, judge) for rule in rules if rule.active)
    return tuple(result for result in results if result is not None)


def _judged(rule: Rule, judge: _Judged) -> RuleResult | None:
    """What `judge` finds, None where the rule's type is not one that it looks at. Whatever goes wrong fails the rule."""
    try:
        rule_type, parameters = typed(rule)
    except Refused as unreadable:
        return _failed(rule, f"the rule cannot be read: {unreadable.message}")
    try:
        finding = judge(rule_type, parameters)
        return None if finding is None else _result(rule, finding)
    except NotKnown as missing:
        return _failed(rule, str(missing))
    except Exception as defect:  # noqa: BLE001 - a defect in one rule type fails its rules, not every check
        return _failed(rule, f"the rule cannot be computed: {type(defect).__name__}: {defect}")


def _failed(rule: Rule, description: str) -> RuleResult:
    return _result(rule, Finding(passed=False, description=description))


def _result(rule: Rule, finding: Finding) -> RuleResult:
    return RuleResult(
        rule_id=rule.rule_id,
        rule_name=rule.name,
        rule_type=rule.rule_type,
        rule_version=rule.version,
        severity=rule.severity,
        passed=finding.passed,
        description=finding.description[:_LONGEST_DESCRIPTION],
        limit=_text(finding.limit),
        used=_text(finding.used),
        proposed=_text(finding.proposed),
        remaining=_text(finding.remaining),
        inputs=_texts(finding.inputs),
    )


def _text(number: Decimal | None) -> str | None:
    if number is None:
        return None
    if not isinstance(number, Decimal):
        raise TypeError(f"{number!r} is not a Decimal")
    return plain(number)


def _texts(inputs: Mapping[str, Decimal | str]) -> dict[str, str]:
    return {name: plain(value) if isinstance(value, Decimal) else value for name, value in inputs.items()}
