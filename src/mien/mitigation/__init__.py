"""The mitigations: one file a method, each overriding one or two hooks of :class:`mien.mitigation.base.Mitigation`."""

from mien.registry import Registry

MITIGATIONS = Registry("mitigation", "mien.mitigation", extra="train", given=("faces",))
