"""Running several consumers in a process, and serving their health."""

from mdb_sqla.host.service_host import Host
from mdb_sqla.host.status import ConsumerStatus, HostStatus

__all__ = ["ConsumerStatus", "Host", "HostStatus"]
