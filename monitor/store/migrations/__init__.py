"""The schema's history; additive, so that new code runs beside the old."""
