"""The verbs of metrics."""

from metrics.services.ingest import BatchResult, Measurement, append_events

__all__ = ["BatchResult", "Measurement", "append_events"]
