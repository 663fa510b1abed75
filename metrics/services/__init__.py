"""The verbs of metrics."""

from metrics.services.ingest import BatchResult, Observation, ingest_batch

__all__ = ["BatchResult", "Observation", "ingest_batch"]
