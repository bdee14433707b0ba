"""Which of the broker's accounts a caller may see: breaks, foreign orders and gateways are known by these names."""

from oms.api.access import Reach
from oms.api.new_order import account_of
from oms.store import Store


class Sight:
    """The accounts within a key's reach, as the broker calls them.

    A key for some portfolios sees the default accounts of these. Making one blocks.
    """

    def __init__(self, store: Store, reach: Reach) -> None:
        self._accounts = _at_the_broker(store, reach)

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
