"""The corpora: one file each, from the folder or file in which people have it to a Corpus."""

from mien.registry import Registry

DATASETS = Registry("dataset", "mien.data.datasets", given=("root", "progress"))
