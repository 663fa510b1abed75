"""The verbs of metrics; those of whole files are in `files`."""

from metrics.services.ingest import BatchResult, Measurement, append_events

__all__ = ["BatchResult", "Measurement", "append_events"]
