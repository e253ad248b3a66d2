"""Rung 7: models for other programs: ONNX graphs."""
