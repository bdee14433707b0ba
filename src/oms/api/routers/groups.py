"""Groups of accounts and groups, for allocation by hierarchy."""

from oms.api.routers.shared import book_router

router = book_router("/v1/account-groups", "account groups")
