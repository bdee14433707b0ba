"""Which of the broker's accounts a caller may see: breaks, foreign orders and gateways are known by these names."""

from functools import cached_property

from oms.api.access import EVERYTHING, Reach
from oms.api.new_order import account_of
from oms.store import Store


class Sight:
    """The accounts within a key's reach, as the broker calls them.

    A key for some portfolios sees the default accounts of these. What is told of an account as a whole may name the
    orders of everybody who trades there: a limited key sees it where all of them are in its reach. Making one blocks,
    and so does the first look at `whole`.
    """

    def __init__(self, store: Store, reach: Reach) -> None:
        self._store = store
        self._reach = reach
        self._accounts = _at_the_broker(store, reach)

    @property
    def is_limited(self) -> bool:
        """Whether anything is out of the key's reach."""
        return self._reach != EVERYTHING

    def has(self, account: str) -> bool:
        """Whether the broker's `account` may be seen."""
        return self._accounts is None or account in self._accounts

    def of(self, accounts: tuple[str, ...]) -> tuple[str, ...]:
        """Those that may be seen."""
        return tuple(account for account in accounts if self.has(account))

    @property
    def accounts(self) -> tuple[str, ...] | None:
        """The accounts for a query, None for all."""
        return None if self._accounts is None else tuple(sorted(self._accounts))

    @cached_property
    def whole(self) -> tuple[str, ...] | None:
        """The accounts of which everything may be told, None for all."""
        portfolios = self._reach.portfolios
        if self.accounts is None or portfolios is None:
            return self.accounts
        others = self._store.booked.is_traded_by_others
        return tuple(account for account in self.accounts if not others(account, portfolios))

    def has_whole(self, account: str) -> bool:
        """Whether everything may be told of the broker's `account`."""
        return self.whole is None or account in self.whole


def _at_the_broker(store: Store, reach: Reach) -> frozenset[str] | None:
    if reach.accounts is not None:
        named = set(reach.accounts)
    elif reach.portfolios is not None:
        portfolios = (store.reference.portfolio(portfolio_id) for portfolio_id in reach.portfolios)
        named = {portfolio.default_account_id for portfolio in portfolios if portfolio is not None}
    else:
        return None
    accounts = (store.reference.account(account_id) for account_id in named)
    return frozenset(account.broker_account for account in accounts if account is not None)


def broker_name(store: Store, account: str | None) -> str | None:
    """The broker's name of an account given by either name; one that nobody described is the broker's own. Blocks."""
    known = account_of(store, account) if account is not None else None
    return known.broker_account if known is not None else account
