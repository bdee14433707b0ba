"""Every rule type there is: the built-in ones and those of installed packages.

A package offers a rule type as an entry point of the group `durable_oms.rule_types`. Which packages are installed is
read once in the life of a process; a process reads it when it starts, so that a broken plug-in stops it there.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from typing import Any

from pydantic import ValidationError

from oms.domain.errors import Code, Refused
from oms.domain.model import Model
from oms.domain.rules.exposure import GrossExposure, NetExposure
from oms.domain.rules.holdings import ConcentrationLimit, MaxPosition
from oms.domain.rules.pace import DuplicateOrder, MaxDailyTurnover, MessageRate
from oms.domain.rules.prohibitions import RestrictedList, ShortSaleBan
from oms.domain.rules.rule import Rule
from oms.domain.rules.rule_type import RuleType
from oms.domain.rules.sizes import MaxOrderNotional, MaxOrderQuantity, PriceCollar

GROUP = "durable_oms.rule_types"
BUILT_IN: tuple[type[RuleType[Any]], ...] = (
    ConcentrationLimit,
    MaxOrderQuantity,
    MaxOrderNotional,
    MaxPosition,
    GrossExposure,
    NetExposure,
    PriceCollar,
    RestrictedList,
    ShortSaleBan,
    DuplicateOrder,
    MessageRate,
    MaxDailyTurnover,
)


class BrokenPlugin(Exception):
    """An installed package offers a rule type that cannot be used; the message names the package and says why."""


@cache
def rule_types() -> Mapping[str, RuleType[Any]]:
    """Every rule type by its name, the built-in ones first. Raises BrokenPlugin."""
    return with_plugins(entry_points(group=GROUP))


def with_plugins(offered: Iterable[EntryPoint]) -> dict[str, RuleType[Any]]:
    """The built-in rule types and the offered ones, by name. Raises BrokenPlugin."""
    known: dict[str, RuleType[Any]] = {kind.name: kind() for kind in BUILT_IN}
    for entry_point in sorted(offered, key=lambda each: (each.name, each.value)):
        rule_type = _loaded(entry_point)
        if rule_type.name in known:
            raise BrokenPlugin(f"{_origin(entry_point)}: there is a rule type {rule_type.name!r} already")
        known[rule_type.name] = rule_type
    return known


def check_parameters(rule_type: str, parameters: Mapping[str, Any]) -> Model:
    """The typed parameters of a rule. Raises Refused: VALIDATION_FAILED with the field."""
    known = rule_types()
    if rule_type not in known:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"{rule_type!r} is not a rule type; there are {', '.join(sorted(known))}.",
            field="rule_type",
            allowed=sorted(known),
        )
    try:
        return known[rule_type].parameters.model_validate(dict(parameters))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(("parameters", *map(str, first["loc"])))
        raise Refused(Code.VALIDATION_FAILED, f"{field}: {first['msg']}.", field=field) from error


_read: dict[str, tuple[Rule, Model]] = {}
"""The parameters of each rule as they were last read: reading them takes longer than most checks."""


def typed(rule: Rule) -> tuple[RuleType[Any], Model]:
    """The rule's type and its typed parameters. Raises Refused: VALIDATION_FAILED with the field."""
    last = _read.get(rule.rule_id)
    if last is None or last[0].rule_type != rule.rule_type or last[0].parameters != rule.parameters:
        last = (rule, check_parameters(rule.rule_type, rule.parameters))
        _read[rule.rule_id] = last
    return rule_types()[rule.rule_type], last[1]


def _loaded(entry_point: EntryPoint) -> RuleType[Any]:
    origin = _origin(entry_point)
    try:
        kind = entry_point.load()
    except Exception as error:
        raise BrokenPlugin(f"{origin}: {type(error).__name__}: {error}") from error
    if not isinstance(kind, type) or not issubclass(kind, RuleType):
        raise BrokenPlugin(f"{origin}: {entry_point.value} is not a class below RuleType")
    if isabstract(kind):
        raise BrokenPlugin(f"{origin}: {kind.__name__} has no check")
    if getattr(kind, "name", None) != entry_point.name:
        raise BrokenPlugin(
            f"{origin}: {kind.__name__} must have the entry point's name, {entry_point.name!r}"
        )
    shape = getattr(kind, "parameters", None)
    if not isinstance(shape, type) or not issubclass(shape, Model):
        raise BrokenPlugin(f"{origin}: the parameters of {kind.__name__} are not a class below Model")
    return kind()


def _origin(entry_point: EntryPoint) -> str:
    """The package and the entry point, for a person who has to repair or remove it."""
    package = entry_point.dist.name if entry_point.dist is not None else "an unknown package"
    return f"rule type {entry_point.name!r} of {package}"
