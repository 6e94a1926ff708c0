"""Labels by people: a task, its queue, a database of votes, a local page, and what comes out of them.

Begin with :mod:`mien.labelling.server`. Everything but the task and the queue needs the extra ``label``.
"""
