"""The live orders, found by what they have in common: a contract, a parent, an OCA group."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, MutableMapping

from oms.paper.orders import OrderKey, PaperOrder

Index = defaultdict[Hashable, dict[OrderKey, None]]
"""Keys of orders by a mark, in the order in which they came."""


class LiveOrders(MutableMapping[OrderKey, PaperOrder]):
    """Live orders by key. A fill of one order looks at its relatives only, however many others there are."""

    def __init__(self, orders: Iterable[PaperOrder] = ()) -> None:
        self._orders: dict[OrderKey, PaperOrder] = {}
        self._indices: tuple[Index, Index, Index] = (defaultdict(dict), defaultdict(dict), defaultdict(dict))
        for order in orders:
            self[order.key] = order

    def __getitem__(self, key: OrderKey) -> PaperOrder:
        return self._orders[key]

    def __setitem__(self, key: OrderKey, order: PaperOrder) -> None:
        before = self._orders.get(key)
        self._orders[key] = order
        if before is None or _marks(before) != _marks(order):
            if before is not None:
                self._unmark(before)
            for index, mark in zip(self._indices, _marks(order), strict=True):
                index[mark][key] = None

    def __delitem__(self, key: OrderKey) -> None:
        self._unmark(self._orders.pop(key))

    def __iter__(self) -> Iterator[OrderKey]:
        return iter(self._orders)

    def __len__(self) -> int:
        return len(self._orders)

    def of_contract(self, con_id: int) -> list[OrderKey]:
        """Orders in one contract, oldest first."""
        return list(self._indices[0].get(con_id, ()))

    def contracts(self) -> set[int]:
        """Contract ids with a live order."""
        return {mark for mark in self._indices[0] if isinstance(mark, int)}

    def children(self, parent: OrderKey) -> list[PaperOrder]:
        """Live orders that name an order as their parent, held ones included."""
        return [self._orders[key] for key in self._indices[1].get(parent, ())]

    def oca_others(self, order: PaperOrder) -> list[PaperOrder]:
        """The other orders of an order's OCA group in its account; a group of no name is none."""
        if not order.terms.oca_group:
            return []
        keys = self._indices[2].get((order.terms.account, order.terms.oca_group), ())
        return [self._orders[key] for key in keys if key != order.key]

    def _unmark(self, order: PaperOrder) -> None:
        for index, mark in zip(self._indices, _marks(order), strict=True):
            keys = index[mark]
            del keys[order.key]
            if not keys:
                del index[mark]


def _marks(order: PaperOrder) -> tuple[Hashable, Hashable, Hashable]:
    terms = order.terms
    return terms.instrument.con_id, terms.parent_key, (terms.account, terms.oca_group)
