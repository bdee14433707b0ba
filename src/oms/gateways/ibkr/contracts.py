"""Instruments as contracts that IBKR knows, asked for once and kept."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial

import structlog
from ib_async import Contract, ContractDetails, PriceIncrement, RequestError
from pydantic import ValidationError

from oms.domain.numbers import plain
from oms.domain.reference import Instrument, InstrumentQuestion, InstrumentsFound, InstrumentTerms
from oms.domain.terms import SecType
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.rounding import Band, Ticks, ticks

LOG = structlog.get_logger()
_NO_SUCH_CONTRACT = frozenset({200, 321})
_CASH_EXCHANGE = "IDEALPRO"
_SMART = "SMART"
_NOT_SMART = {SecType.FUTURE: "", SecType.CASH: _CASH_EXCHANGE}
_MONTH = re.compile(r"\d{4}(0[1-9]|1[0-2])")
_NAMED = 20
"""So many of the contracts that fit a question are described; all are counted."""

Ask = Callable[[Contract], Awaitable[list[ContractDetails]]]
AskRule = Callable[[int], Awaitable[list[PriceIncrement] | None]]


class UnknownContract(ValueError):
    """IBKR has no single contract for the instrument; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Qualified:
    """A contract with its conId, and the increments of its prices."""

    contract: Contract
    ticks: Ticks


class Contracts:
    """A cache in front of reqContractDetails and reqMarketRule. Callers that ask for the same share one request.

    `ask_rule` gives the price bands of a market rule, None where nobody answers; without it a contract's minTick
    holds at every price.
    """

    def __init__(self, ask: Ask, ask_rule: AskRule | None = None) -> None:
        self._ask = ask
        self._ask_rule = ask_rule
        self._known: dict[str, asyncio.Task[Qualified]] = {}
        self._rules: dict[int, asyncio.Task[tuple[Band, ...]]] = {}

    async def qualified(self, instrument: Instrument) -> Qualified:
        """The contract and its ticks. Raises UnknownContract, or GatewayNotReady where nobody answers."""
        key = f"{instrument.conid}|{instrument.natural_key}"
        task = self._known.get(key)
        if task is None:
            task = self._known[key] = asyncio.create_task(self._qualify(instrument))
            task.add_done_callback(partial(self._answered, key))
        return await asyncio.shield(task)

    async def described(self, question: InstrumentQuestion) -> InstrumentsFound:
        """Every contract that fits the question, as an instrument of ours. Raises GatewayNotReady. Not kept.

        Of details IBKR gives the tick size, the company and its industry, and no country. A future that is asked for
        at SMART, where none is traded, is looked for at its own exchange.
        """
        if question.sec_type is SecType.FUTURE and question.exchange == _SMART:
            question = question.model_copy(update={"exchange": None})
        wanted = _sought(question)
        try:
            answers = await self._asked(wanted)
        except UnknownContract:
            return InstrumentsFound()
        terms = [_terms(answer, question) for answer in answers]
        found = tuple(one for one in terms if one is not None and question.fits(one))
        return InstrumentsFound(found=found[:_NAMED], count=len(found))

    def _answered(self, key: str, task: asyncio.Task[Qualified]) -> None:
        if task.cancelled() or task.exception() is not None:
            del self._known[key]

    async def _qualify(self, instrument: Instrument) -> Qualified:
        wanted = contract_of(instrument)
        found = await self._asked(wanted)
        one = chosen(wanted, [details.contract for details in found if details.contract is not None])
        details = next(d for d in found if d.contract is not None and d.contract.conId == one.conId)
        least = _decimal(details.minTick) or instrument.tick_size
        return Qualified(one, ticks(least, await self._bands(rule_of(details, one.exchange))))

    async def _bands(self, rule_id: int | None) -> tuple[Band, ...]:
        """The price bands of a rule; none where there is no rule or nobody tells: then the minTick holds."""
        if rule_id is None or self._ask_rule is None:
            return ()
        task = self._rules.get(rule_id)
        if task is None:
            # The library keeps one question for each rule: a second one would take the answer from the first.
            task = self._rules[rule_id] = asyncio.create_task(self._rule(self._ask_rule, rule_id))
            task.add_done_callback(partial(self._told, rule_id))
        return await asyncio.shield(task)

    def _told(self, rule_id: int, task: asyncio.Task[tuple[Band, ...]]) -> None:
        if task.cancelled() or task.exception() is not None:
            del self._rules[rule_id]

    async def _rule(self, ask: AskRule, rule_id: int) -> tuple[Band, ...]:
        try:
            increments = await ask(rule_id)
        except ConnectionError as error:
            raise GatewayNotReady(f"IBKR did not tell market rule {rule_id}: {error}") from error
        except (RequestError, TimeoutError) as error:
            LOG.warning("ibkr.no_market_rule", rule=rule_id, error=repr(error))
            return ()
        if increments is None:
            LOG.warning("ibkr.no_market_rule", rule=rule_id, error="no answer")
        return tuple(Band(_decimal(one.lowEdge), _decimal(one.increment)) for one in increments or ())

    async def _asked(self, wanted: Contract) -> list[ContractDetails]:
        """What fits, each contract once. Raises UnknownContract, or GatewayNotReady where nobody answers."""
        told = wanted.symbol or wanted.conId
        try:
            return _each_once(await self._ask(wanted))
        except RequestError as error:
            if error.code in _NO_SUCH_CONTRACT:
                raise UnknownContract(f"{error.code}: {error.message}") from error
            raise GatewayNotReady(f"IBKR did not describe {told}: {error.code}: {error.message}") from error
        except (ConnectionError, TimeoutError) as error:
            raise GatewayNotReady(f"IBKR did not describe {told}: {error}") from error


def contract_of(instrument: Instrument) -> Contract:
    """What to ask IBKR for: by conId where it is known, else by description."""
    exchange = _exchange(instrument.sec_type, instrument.exchange)
    if instrument.conid is not None:
        return Contract(conId=instrument.conid, exchange=exchange)
    is_option = instrument.sec_type is SecType.OPTION
    return Contract(
        secType=str(instrument.sec_type),
        symbol=instrument.symbol,
        lastTradeDateOrContractMonth=instrument.expiry.strftime("%Y%m%d") if instrument.expiry else "",
        strike=float(instrument.strike) if instrument.strike is not None else 0.0,
        right=instrument.right or "",
        multiplier=plain(instrument.multiplier) if is_option else "",
        exchange=exchange,
        primaryExchange=instrument.primary_exchange or "",
        currency=instrument.currency,
    )


def chosen(wanted: Contract, found: list[Contract]) -> Contract:
    """The one contract that fits, routed where the instrument says. Raises UnknownContract."""
    fitting = [contract for contract in found if wanted.secType in ("", contract.secType)]
    if len(fitting) > 1 and wanted.primaryExchange:
        fitting = [c for c in fitting if c.primaryExchange == wanted.primaryExchange] or fitting
    if len({contract.conId for contract in fitting}) != 1:
        count = len({contract.conId for contract in fitting})
        raise UnknownContract(
            f"IBKR has {count} contracts for {wanted.symbol or wanted.conId} on {wanted.exchange}"
        )
    one = fitting[0]
    return Contract(
        secType=one.secType,
        conId=one.conId,
        symbol=one.symbol,
        lastTradeDateOrContractMonth=one.lastTradeDateOrContractMonth,
        strike=one.strike,
        right=one.right,
        multiplier=one.multiplier,
        exchange=wanted.exchange or one.exchange,
        primaryExchange=one.primaryExchange,
        currency=one.currency,
        localSymbol=one.localSymbol,
        tradingClass=one.tradingClass,
    )


def rule_of(details: ContractDetails, exchange: str) -> int | None:
    """The market rule of a contract at `exchange`: IBKR lists them in the order of the exchanges."""
    rules = dict(zip(details.validExchanges.split(","), details.marketRuleIds.split(","), strict=False))
    text = rules.get(exchange, "")
    return int(text) if text.isdigit() else None


def _exchange(sec_type: SecType, named: str) -> str:
    """Where to look for an instrument: what SMART does not route is elsewhere, a future at its own exchange."""
    return _NOT_SMART.get(sec_type, named) if named == _SMART else named


def _each_once(answers: list[ContractDetails]) -> list[ContractDetails]:
    """IBKR may list a contract once for each of its exchanges: the one at its home, which it names first, counts."""
    found: dict[int, ContractDetails] = {}
    for answer in answers:
        if answer.contract is not None:
            at_home = answer.contract.exchange == answer.validExchanges.split(",")[0]
            if answer.contract.conId not in found or at_home:
                found[answer.contract.conId] = answer
    return list(found.values())


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))


def _sought(question: InstrumentQuestion) -> Contract:
    """What to ask IBKR for, on any exchange where none is named."""
    exchange = _exchange(question.sec_type, question.exchange or _SMART)
    day = question.expiry.strftime("%Y%m%d") if question.expiry else ""
    if question.conid is not None:
        return Contract(conId=question.conid, exchange=exchange)
    return Contract(
        secType=str(question.sec_type),
        symbol=question.symbol,
        lastTradeDateOrContractMonth=day or question.contract_month or "",
        strike=float(question.strike) if question.strike is not None else 0.0,
        right=question.right or "",
        exchange=exchange,
        primaryExchange=question.primary_exchange or "",
        currency=question.currency or "",
    )


def _terms(details: ContractDetails, question: InstrumentQuestion) -> InstrumentTerms | None:
    """A contract as an instrument; None for one that cannot be ours."""
    contract = details.contract
    if contract is None:
        return None
    routed = contract.exchange if contract.secType == SecType.FUTURE else _SMART
    derived = {
        "multiplier": contract.multiplier or None,
        "tick_size": Decimal(repr(details.minTick)) if details.minTick > 0 else None,
        "expiry": _day(contract.lastTradeDateOrContractMonth),
        "contract_month": details.contractMonth if _MONTH.fullmatch(details.contractMonth) else None,
        "strike": Decimal(repr(contract.strike)) if contract.strike else None,
        "right": contract.right[:1] if contract.right[:1] in ("C", "P") else None,
        "primary_exchange": contract.primaryExchange or None,
        "issuer": _name(details.longName) if contract.secType in (SecType.STOCK, SecType.OPTION) else None,
        "sector": _name(details.industry),
    }
    try:
        return InstrumentTerms(
            symbol=contract.symbol,
            sec_type=SecType(contract.secType),
            exchange=question.exchange or routed,
            currency=contract.currency,
            conid=contract.conId,
            **{name: value for name, value in derived.items() if value is not None},
        )
    except (ValidationError, ValueError) as error:
        LOG.warning("ibkr.contract_not_described", conid=contract.conId, error=str(error))
        return None


def _day(text: str) -> date | None:
    """The day of `20270319` or of `20270319 08:30 US/Central`; None for none and for a month."""
    return date.fromisoformat(text[:8]) if text[:8].isdigit() and len(text) >= 8 else None


def _name(text: str) -> str | None:
    """A name as the order book keeps names: printable ASCII, at most 128 characters."""
    kept = text.encode("ascii", "ignore").decode()
    return "".join(c for c in kept if c.isprintable()).strip()[:128] or None
