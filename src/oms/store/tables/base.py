"""The metadata all tables share. Constraint names are fixed, so a migration can name what it changes."""

from typing import cast

from sqlalchemy import BigInteger, Integer, MetaData, Table
from sqlmodel import SQLModel

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)

# SQLite numbers rows by itself only for a primary key of exactly the type INTEGER.
RowNumber = BigInteger().with_variant(Integer(), "sqlite")


class Row(SQLModel):
    """The base of every table of the order book."""

    metadata = metadata


def table_of(row: type[Row]) -> Table:
    """The Core table behind a row class."""
    return cast("Table", vars(row)["__table__"])
