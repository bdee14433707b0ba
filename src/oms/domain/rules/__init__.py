"""The compliance rules: one module for each family, and the values they judge."""
