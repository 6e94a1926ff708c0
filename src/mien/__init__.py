"""Mien trains, audits and mitigates facial expression recognition."""

__version__ = "0.1.0"
