"""`python -m mdb_sqla`, the same as the command `mdb`."""

from mdb_sqla.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
