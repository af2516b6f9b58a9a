"""Open-vocabulary detectors: the built-in one, OWLv2 and Grounding DINO."""

from sightline.server.models.detection.loading import PhraseDetector, load

__all__ = ["PhraseDetector", "load"]
