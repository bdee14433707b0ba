"""Names of accounts and portfolios that a request brings: known, and within the key's reach."""

from collections.abc import Iterable

from oms.api.access import Reach
from oms.domain.errors import Code, Refused
from oms.store import Store


def check_accounts(store: Store, reach: Reach, named: Iterable[tuple[str, str]]) -> None:
    """`named` are (account_id, portfolio_id). Blocks. Raises Refused: INVALID_ACCOUNT, INVALID_PORTFOLIO."""
    pairs, reference = list(named), store.reference
    for account_id in dict.fromkeys(account_id for account_id, _ in pairs):
        if not reach.has_account(account_id) or reference.account(account_id) is None:
            raise Refused(Code.INVALID_ACCOUNT, f"There is no account {account_id!r}.", account_id=account_id)
    for portfolio_id in dict.fromkeys(portfolio_id for _, portfolio_id in pairs):
        if not reach.has_portfolio(portfolio_id) or reference.portfolio(portfolio_id) is None:
            raise Refused(
                Code.INVALID_PORTFOLIO,
                f"There is no portfolio {portfolio_id!r}.",
                portfolio_id=portfolio_id,
            )
