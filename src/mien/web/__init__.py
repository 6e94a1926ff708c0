"""What every page and interface that Mien serves has: who may ask, refusals in sentences, static files, the start.

Nothing is imported here. :mod:`mien.web.guard` and :mod:`mien.web.refusals` need no package; the rest needs the
extra ``label``.
"""
