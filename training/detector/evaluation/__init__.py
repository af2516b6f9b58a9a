"""Evaluation, calibration and model card of the detector."""
