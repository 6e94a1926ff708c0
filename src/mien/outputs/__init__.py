"""Places where results go: refused before the work if they cannot be written, and never left half-written.

:mod:`places` tries files and folders before the work, :mod:`writing` writes files whole or not at all, and
:mod:`folders` does so for folders of results.
"""

from mien.outputs.folders import FolderWriter, Kind, check_place, replace_folder, settle, staging, whole_folder
from mien.outputs.places import check_distinct, check_file, check_folder
from mien.outputs.writing import ONLY_WRITING, begin_in, whole, write_text, writing

__all__ = [
    "ONLY_WRITING",
    "FolderWriter",
    "Kind",
    "begin_in",
    "check_distinct",
    "check_file",
    "check_folder",
    "check_place",
    "replace_folder",
    "settle",
    "staging",
    "whole",
    "whole_folder",
    "write_text",
    "writing",
]
