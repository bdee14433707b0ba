"""The tables about venues: what Interactive Brokers takes and says, and what the paper gateway can do wrong."""

from collections.abc import Sequence

from cells import code, sentences, table

from oms.domain.strategies import MAX_PERCENT, STRATEGIES, Parameter
from oms.domain.terms import OrderType, SecType, TimeInForce
from oms.domain.venues import IBKR_ABILITIES
from oms.gateways.ibkr.error_codes import Meaning, meaning
from oms.paper.faults import FaultKind

_LARGEST_CODE = 20_000


def ibkr_orders() -> str:
    """What Interactive Brokers takes: each type of order, for how long it may stand, for which instruments."""
    needs = {
        OrderType.TRAILING_STOP: "`trail_amount` or `trail_percent`; `stop_price` where the trail begins, if given",
        OrderType.TRAILING_STOP_LIMIT: "the same, and `limit_offset`",
        OrderType.MID_PRICE: "`limit_price` as a cap, if given",
    }
    rows = []
    for kind, ability in IBKR_ABILITIES.items():
        prices = [name for name in ("limit_price", "stop_price") if getattr(kind, f"needs_{name}")]
        times = [each for each in TimeInForce if each in ability.times]
        securities = [each for each in SecType if each in ability.securities]
        needed = needs.get(kind, code(*prices))
        rows.append([code(kind), needed, code(*times), code(*securities)])
    return table(("Order type", "With", "Time in force", "Instruments"), rows)


def ibkr_strategies() -> str:
    """Every strategy with its parameters; those that are required stand out."""
    rows = [
        [code(name), strategy.meaning, "; ".join(_parameter(*each) for each in strategy.parameters.items())]
        for name, strategy in STRATEGIES.items()
    ]
    return table(("Strategy", "What it does", "Parameters"), rows)


def _parameter(name: str, parameter: Parameter) -> str:
    kinds = {
        "percent": f"above 0, at most {MAX_PERCENT}",
        "instant": "RFC 3339",
        "flag": "`true` or `false`",
    }
    shown = kinds.get(parameter.kind) or code(*parameter.choices)
    return f"{'**' if parameter.required else ''}{code(name)}{'**' if parameter.required else ''} ({shown})"


def ibkr_codes() -> str:
    """What each TWS message code means to an order or to the session."""
    told = sentences(Meaning)
    known: dict[Meaning, list[int]] = {}
    for number in range(_LARGEST_CODE):
        known.setdefault(meaning(number), []).append(number)
    rows = []
    for each in Meaning:
        numbers = "every other code" if each is Meaning.SURFACED else _ranges(known.get(each, []))
        rows.append([each.value, told[each.name], numbers])
    return table(("Meaning", "What follows", "Codes"), rows)


def _ranges(numbers: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def faults() -> str:
    """What the paper IB Gateway can be told to do wrong."""
    told = sentences(FaultKind)
    return table(("Fault", "What happens to one request"), ([code(f), told[f.name]] for f in FaultKind))
