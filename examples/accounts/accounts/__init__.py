"""Event-sourced accounts, and transfers between them."""
