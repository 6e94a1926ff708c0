"""The statistics that audits, agreement, composition, annotators and the labelling queue share.

Nothing is imported here: whoever needs a seeded generator loads that and no more.
"""
