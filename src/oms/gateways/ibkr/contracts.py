"""Instruments as contracts that IBKR knows, asked for once and kept."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from ib_async import Contract, ContractDetails, RequestError

from oms.domain.numbers import plain
from oms.domain.reference import Instrument
from oms.domain.terms import SecType
from oms.gateways.errors import GatewayNotReady

_NO_SUCH_CONTRACT = frozenset({200, 321})
_CASH_EXCHANGE = "IDEALPRO"

Ask = Callable[[Contract], Awaitable[list[ContractDetails]]]


class UnknownContract(ValueError):
    """IBKR has no single contract for the instrument; the message is a sentence for a person."""


class Contracts:
    """A cache in front of reqContractDetails. Callers that ask for the same instrument share one request."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[str, asyncio.Task[Contract]] = {}

    async def qualified(self, instrument: Instrument) -> Contract:
        """The contract with its conId. Raises UnknownContract, or GatewayNotReady where nobody answers."""
        key = f"{instrument.conid}|{instrument.natural_key}"
        task = self._known.get(key)
        if task is None:
            task = self._known[key] = asyncio.create_task(self._qualify(instrument))
            task.add_done_callback(partial(self._answered, key))
        return await asyncio.shield(task)

    def _answered(self, key: str, task: asyncio.Task[Contract]) -> None:
        if task.cancelled() or task.exception() is not None:
            del self._known[key]

    async def _qualify(self, instrument: Instrument) -> Contract:
        wanted = contract_of(instrument)
        try:
            found = await self._ask(wanted)
        except RequestError as error:
            if error.code in _NO_SUCH_CONTRACT:
                raise UnknownContract(f"{error.code}: {error.message}") from error
            raise GatewayNotReady(f"IBKR did not describe {instrument.symbol}: {error}") from error
        except (ConnectionError, TimeoutError) as error:
            raise GatewayNotReady(f"IBKR did not describe {instrument.symbol}: {error!r}") from error
        return chosen(wanted, [details.contract for details in found if details.contract is not None])


def contract_of(instrument: Instrument) -> Contract:
    """What to ask IBKR for: by conId where it is known, else by description."""
    is_cash = instrument.sec_type is SecType.CASH and instrument.exchange == "SMART"
    exchange = _CASH_EXCHANGE if is_cash else instrument.exchange
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
        exchange=wanted.exchange,
        primaryExchange=one.primaryExchange,
        currency=one.currency,
        localSymbol=one.localSymbol,
        tradingClass=one.tradingClass,
    )
