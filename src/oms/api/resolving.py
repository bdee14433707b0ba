"""An instrument that nobody described yet, looked up at the broker."""

from typing import Any

import anyio
from temporalio.client import Client

from oms.api.access import EVERYTHING, Reach
from oms.api.answering import asked_once, away
from oms.api.new_order import InstrumentRef, NewOrder, broker_account
from oms.api.routing import new_uuid
from oms.domain.commands import Actor
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import INSTRUMENT, identifier
from oms.domain.numbers import plain
from oms.domain.reference import Instrument, InstrumentQuestion, InstrumentsFound, InstrumentTerms
from oms.domain.terms import Role, SecType, Venue
from oms.store import Store
from oms.workflows.resolving import LOOKED_UP_WITHIN, RESOLVE_WORKFLOW, Lookup

_SHOWN = (
    "conid",
    "symbol",
    "sec_type",
    "currency",
    "primary_exchange",
    "exchange",
    "expiry",
    "strike",
    "right",
)


async def resolve_symbol(temporal: Client, store: Store, ref: InstrumentRef, account: str) -> Instrument:
    """The one instrument that IBKR knows under `ref`, described and kept. `account` is the broker's name of one that a
    gateway serves. Twice is once.

    Raises Refused: INVALID_INSTRUMENT where there is none, or several (as `candidates`); UNAVAILABLE where no gateway
    answers.
    """
    return await resolve_question(temporal, store, question_of(ref), account)


async def resolve_question(
    temporal: Client, store: Store, question: InstrumentQuestion, account: str
) -> Instrument:
    """The one instrument that IBKR knows under `question`, described and kept. Refuses as `resolve_symbol`."""
    found = await _looked_up(temporal, Lookup(question=question, account=account))
    if found.away is not None:
        raise away(f"{question.symbol} is not known and cannot be looked up now: {found.away}.")
    if found.count != 1:
        raise _not_one(_named(question), found)
    minted = identifier(INSTRUMENT, new_uuid())
    return await anyio.to_thread.run_sync(store.reference.put_instrument, found.found[0], minted)


async def with_known_instrument(
    temporal: Client, store: Store, new: NewOrder, actor: Actor, reach: Reach
) -> NewOrder:
    """`new`, with the id of its instrument where nobody knew the symbol and the account's gateway could look it up.

    Raises Refused as `resolve_symbol`, and INVALID_ACCOUNT for a route's account that is not known.
    """
    if new.instrument is None or new.instrument_id is not None or Role.PM not in actor.roles:
        return new
    account = await anyio.to_thread.run_sync(_account_to_ask, store, new, new.instrument, reach)
    if account is None:
        return new
    found = await resolve_symbol(temporal, store, new.instrument, account)
    return new.model_copy(update={"instrument": None, "instrument_id": found.instrument_id})


def _account_to_ask(store: Store, new: NewOrder, ref: InstrumentRef, reach: Reach) -> str | None:
    """The broker's name of the order's account; None where there is nothing to look up, or nobody to ask."""
    if store.reference.fitting(question_of(ref)) is not None:
        return None
    portfolio = store.reference.portfolio(new.portfolio_id) if reach.has_portfolio(new.portfolio_id) else None
    if portfolio is None:
        return None
    named = new.route.account if new.route is not None else None
    account = broker_account(store, named or portfolio.default_account_id, reach if named else EVERYTHING)
    reports = [report for report in store.gateways.all() if report.venue == Venue.IBKR]
    return account if any(account in report.accounts for report in reports) else None


def question_of(ref: InstrumentRef) -> InstrumentQuestion:
    """What a venue can be asked of it: all but the MIC, which IBKR does not tell."""
    return InstrumentQuestion(**ref.model_dump(include=set(InstrumentQuestion.model_fields)))


def serving_account(store: Store) -> str:
    """The broker's name of an account to look things up with: of the gateway that spoke last. Blocks.

    Raises Refused: UNAVAILABLE where no gateway ever spoke.
    """
    reports = [report for report in store.gateways.all() if report.venue == Venue.IBKR and report.accounts]
    if not reports:
        raise away("No gateway to IBKR runs, so nothing can be looked up.")
    return max(reports, key=lambda report: (report.gate_open, report.updated_ns)).accounts[0]


async def _looked_up(temporal: Client, asked: Lookup) -> InstrumentsFound:
    return await asked_once(
        temporal,
        RESOLVE_WORKFLOW,
        asked,
        asked.workflow_id,
        LOOKED_UP_WITHIN,
        InstrumentsFound,
        f"look-up of {asked.question.symbol}",
    )


def _named(question: InstrumentQuestion) -> str:
    """The instrument as it was asked for; a stock by its symbol alone."""
    when = question.contract_month or question.expiry
    terms = (question.sec_type, when, question.strike and plain(question.strike), question.right)
    more = ", ".join(str(term) for term in terms if term)
    return repr(question.symbol) + (f" ({more})" if more != SecType.STOCK else "")


def _not_one(named: str, found: InstrumentsFound) -> Refused:
    if found.count == 0:
        return Refused(
            Code.INVALID_INSTRUMENT,
            f"{named} is not a known instrument, and IBKR knows none that fits.",
            field="instrument",
        )
    return Refused(
        Code.INVALID_INSTRUMENT,
        f"{named} is not one instrument: IBKR knows {found.count} that fit; name more of it.",
        field="instrument",
        count=found.count,
        candidates=[_candidate(terms) for terms in found.found],
    )


def _candidate(terms: InstrumentTerms) -> dict[str, Any]:
    return terms.model_dump(mode="json", include=set(_SHOWN), exclude_none=True)
