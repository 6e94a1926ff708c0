"""Models and tools that say what a face looks like to them: *perceived* race, gender and age; one file each.

An annotator is called with its options and gives a :class:`mien.annotators.base.Annotator`; the tool's own
package is imported only then.
"""

from mien.registry import Registry

ANNOTATORS = Registry("annotator", "mien.annotators")
