"""A host that runs several consumers in one process, and its health endpoint."""

from mdb_sqla.host.service_host import Host
from mdb_sqla.host.status import ConsumerStatus, HostStatus

__all__ = ["ConsumerStatus", "Host", "HostStatus"]
