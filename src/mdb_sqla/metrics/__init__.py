"""Gauges of a store and of a host for OpenTelemetry, and their export for Prometheus."""

from mdb_sqla.metrics.store_gauges import observe_store

__all__ = ["observe_store"]
