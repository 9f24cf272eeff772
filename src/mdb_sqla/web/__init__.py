"""The web interface: an ASGI application that shows a store in the browser."""

from mdb_sqla.web.application import create_app
from mdb_sqla.web.authorization import Authorize

__all__ = ["Authorize", "create_app"]
