"""Rows of the schema ``analytics`` as files: CSV, JSON lines, NumPy and Parquet."""

from sightline.storage.analytics.export.file_export import (
    ExportFormat,
    export_query,
    export_view,
)

__all__ = ["ExportFormat", "export_query", "export_view"]
