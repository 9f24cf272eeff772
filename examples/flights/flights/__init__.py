"""An application that commits its own tables and its messages in one transaction."""
