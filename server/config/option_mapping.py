"""Settings as the rooms below take them: each has its own small class and knows no environment."""

from __future__ import annotations

from sightline.server.config.settings import Settings
from sightline.storage.ingest.decode.image_decoder import Decoder
from sightline.storage.ingest.discover.public_addresses import Allowed
from sightline.storage.ingest.ingest_options import IngestOptions, available_cores
from sightline.tools.shared.dependencies import Limits


def call_limits(settings: Settings) -> Limits:
    """Bounds on one tool call."""
    return Limits(
        result_limit=settings.result_limit,
        upload_bytes=settings.upload_bytes,
        picture_bytes=settings.picture_bytes,
        picture_pixels=settings.picture_pixels,
        view_edge_pixels=settings.view_edge_pixels,
        inline_bytes=settings.inline_bytes,
        answer_seconds=settings.answer_timeout_seconds,
        least_confidence=settings.answer_least_confidence,
    )


def ingest_options(settings: Settings) -> IngestOptions:
    """Limits and sizes of an ingest."""
    return IngestOptions(
        workers=settings.ingest_workers,
        batch_size=settings.encoder_batch_items,
        max_file_bytes=settings.ingest_file_bytes,
        max_pixels=settings.picture_pixels,
        file_deadline_seconds=settings.ingest_file_seconds,
        worker_memory_mib=settings.ingest_worker_memory_mib,
        ocr=settings.ocr,
        max_pages=settings.ingest_pages,
        page_dpi=settings.ingest_page_dpi,
        max_video_bytes=settings.ingest_video_bytes,
        max_video_seconds=settings.ingest_video_seconds,
        max_frames=settings.ingest_video_frames,
        timezone=settings.timezone,
    )


def decoder(settings: Settings) -> Decoder:
    """Opens the pictures of calls in processes, at most four."""
    return Decoder(
        max_pixels=settings.picture_pixels,
        memory_mib=settings.ingest_worker_memory_mib,
        seconds=settings.picture_seconds,
        workers=min(4, settings.ingest_workers or available_cores()),
    )


def allowed_urls(settings: Settings) -> Allowed | None:
    """What may be fetched by its address; ``None`` where nothing may."""
    if not settings.allowed_url_hosts:
        return None
    return Allowed(
        hosts=settings.allowed_url_hosts,
        networks=settings.allowed_url_networks,
        max_bytes=settings.url_bytes,
        seconds=settings.url_seconds,
    )
