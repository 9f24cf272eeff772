"""An application that keeps its own tables and a message store in one transaction."""
