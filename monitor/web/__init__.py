"""Show: whether the monitor is alive and ready, and what it counts."""
