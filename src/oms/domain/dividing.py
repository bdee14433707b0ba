"""Dividing without a remainder that gets lost: the largest-remainder rule of Hamilton, in whole numbers."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from oms.domain.numbers import plain

_CENT_PLACES = 2


def apportion(amount: int, weights: Sequence[int], lot: int = 1) -> list[int]:
    """`amount` in proportion to `weights`, in whole lots; the parts add up to it exactly.

    Each gets the whole lots of its share. What is left goes out lot by lot to the largest remainders, the earlier
    first where they are equal; a last piece smaller than a lot goes to the next in that line. `amount` >= 0, `lot`
    > 0, weights >= 0 and at least one above.
    """
    whole = sum(weights) * lot
    shares = [divmod(amount * weight, whole) for weight in weights]
    parts = [lots * lot for lots, _ in shares]
    left = amount - sum(parts)
    for index in sorted(range(len(weights)), key=lambda i: -shares[i][1]):
        if left <= 0:
            break
        given = min(lot, left)
        parts[index] += given
        left -= given
    return parts


def divide(amount: Decimal, weights: Sequence[Decimal]) -> tuple[Decimal, ...]:
    """Money, of either sign, in proportion to `weights`: to the cent, or to its own smallest place if that is finer.

    The parts add up to `amount` exactly. Weights >= 0; all of them zero is a ValueError.
    """
    if not any(weights):
        raise ValueError("nothing to divide by: every weight is zero")
    places = max(_CENT_PLACES, places_of((amount,)))
    finest = places_of(weights)
    sign = -1 if amount < 0 else 1
    parts = apportion(to_units(abs(amount), places), [to_units(weight, finest) for weight in weights])
    return tuple(from_units(sign * part, places) for part in parts)


def odd_part(quantity: Decimal, lot: Decimal) -> Decimal:
    """What of `quantity` is less than a lot."""
    places = places_of((quantity, lot))
    return from_units(to_units(quantity, places) % to_units(lot, places), places)


def places_of(values: Iterable[Decimal]) -> int:
    """The most decimal places that one of `values` needs."""
    return max((len(plain(value).partition(".")[2]) for value in values), default=0)


def to_units(value: Decimal, places: int) -> int:
    """`value` counted in units of the last of `places`, which hold all of it."""
    whole, _, fraction = plain(value).partition(".")
    return int(whole + fraction.ljust(places, "0"))


def from_units(units: int, places: int) -> Decimal:
    """The number that `units` of the last of `places` make."""
    return Decimal(plain(Decimal(f"{units}E-{places}")))
