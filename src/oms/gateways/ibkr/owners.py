"""The intents that a batch of messages may be about, read together: a list of a thousand orders is a few queries."""

from collections.abc import Sequence

from oms.domain.identifiers import placement_of
from oms.gateways.ibkr.messages import ExecutionShown, Message, OrderShown, StatusShown
from oms.store import Intent, Store


class Owners:
    """As the store has them when the batch begins; whoever changes an intent waits until the batch is committed."""

    def __init__(self, store: Store, messages: Sequence[Message]) -> None:
        placement_ids, perm_ids = set(), set()
        for message in messages:
            if isinstance(message, OrderShown | ExecutionShown) and message.order_ref:
                placement_id = placement_of(message.order_ref)
                if placement_id is not None:
                    placement_ids.add(placement_id)
            elif isinstance(message, OrderShown | StatusShown | ExecutionShown) and message.perm_id > 0:
                perm_ids.add(message.perm_id)
        self._by_placement, self._by_perm_id = store.intents.among(placement_ids, perm_ids)

    def by_placement(self, placement_id: str) -> Intent | None:
        """The placement that a reference of ours names."""
        return self._by_placement.get(placement_id)

    def by_perm_id(self, perm_id: int) -> Intent | None:
        """The latest placement that the broker knows by this permanent id."""
        return self._by_perm_id.get(perm_id)

    def learn(self, intent: Intent) -> None:
        """The broker knows `intent` by its permanent ids: messages that follow may name it by them."""
        for perm_id in intent.perm_ids:
            self._by_perm_id[perm_id] = intent
