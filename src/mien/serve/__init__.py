"""Predictions and audits over HTTP: one process, no state, nothing of a picture kept."""
