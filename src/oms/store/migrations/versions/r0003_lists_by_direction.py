"""Lists by direction: with a portfolio, an instrument, a state, or alone. A portfolio's fills of a day."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_orders_direction": ("direction",),
    "ix_orders_portfolio_direction": ("portfolio_id", "direction"),
    "ix_orders_instrument_direction": ("instrument_id", "direction"),
    "ix_orders_state_direction": ("state", "direction"),
}


def upgrade() -> None:
    for name, columns in _INDEXES.items():
        op.create_index(name, "orders", [*columns, "created_at", "order_id"], unique=False)
    op.create_index("ix_fills_traded", "fills", ["portfolio_id", "ts_event_ns"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_fills_traded", "fills")
    for name in reversed(_INDEXES):
        op.drop_index(name, "orders")
