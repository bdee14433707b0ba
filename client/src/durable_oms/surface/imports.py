"""Reference data by the file: CSV, or the same as a list. Each line is judged by itself; the report names bad ones."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from durable_oms.models import Imported
from durable_oms.operation import operation
from durable_oms.requests import Content, Repeatable, filed

File = str | Iterable[Mapping[str, Any]]
"""CSV whose first line names the columns, or an item for each line."""


class Imports:
    """Many things at once. The same file twice is the file once."""

    @operation("POST /v1/instruments/import", Imported.model_validate)
    def import_instruments(self, file: File, **options: Unpack[Repeatable]) -> Content:
        """Describe many instruments."""
        return filed(options, file)

    @operation("POST /v1/portfolios/import", Imported.model_validate)
    def import_portfolios(self, file: File, **options: Unpack[Repeatable]) -> Content:
        """Describe many portfolios; their accounts come first, in a file of their own."""
        return filed(options, file)

    @operation("POST /v1/accounts/import", Imported.model_validate)
    def import_accounts(self, file: File, **options: Unpack[Repeatable]) -> Content:
        """Describe many accounts."""
        return filed(options, file)

    @operation("POST /v1/prices/import", Imported.model_validate)
    def import_prices(self, file: File, **options: Unpack[Repeatable]) -> Content:
        """Quote many prices, by instrument_id or by symbol."""
        return filed(options, file)
