"""Small file helpers: nothing is ever written half, and warnings are said once."""

from lcplm_graph.io.claims import claimed_name, locked_folder, waiting_lock
from lcplm_graph.io.json_files import json_bytes, read_json, write_json
from lcplm_graph.io.once import forget_warnings, warn_once
from lcplm_graph.io.refusals import FULL, checked_suffix, raise_if_full, written
from lcplm_graph.io.states import file_state, sha256_of
from lcplm_graph.io.whole import atomic_path, copy_folder, staged_files, whole_folder

__all__ = [
    "FULL",
    "atomic_path",
    "checked_suffix",
    "claimed_name",
    "copy_folder",
    "file_state",
    "forget_warnings",
    "json_bytes",
    "locked_folder",
    "raise_if_full",
    "read_json",
    "sha256_of",
    "staged_files",
    "waiting_lock",
    "warn_once",
    "whole_folder",
    "write_json",
    "written",
]
