"""A ``_target_`` on the command line: the options of the class in its place are left out."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from labelnoise.config.options import HYDRA_KEYS, names_of
from labelnoise.config.targets import allowed_modules, find

_END = "._target_"


def drop_replaced_options(cfg: DictConfig, words: Sequence[str]) -> list[str]:
    """Remove the options of a part whose ``_target_`` was typed, if the new target lacks them.

    ``model._target_=my_project.nets.MyNet`` replaces the class of the chosen network; the options
    of that network are in its YAML file. Options on the command line stay, and are checked later.

    Args:
        cfg: a checked configuration; changed in place.
        words: the words of the command line.

    Returns:
        A line for each part that has lost options.

    Example:
        >>> cfg = OmegaConf.create({"part": {"_target_": "torch.optim.SGD", "lr": 1, "betas": 2}})
        >>> drop_replaced_options(cfg, ["part._target_=torch.optim.SGD", "seed=1"])
        ['part: SGD takes no betas; left out']
        >>> sorted(cfg.part)
        ['_target_', 'lr']
    """
    typed = {word.partition("=")[0].lstrip("+") for word in words}
    lines = []
    for path in sorted(key.removesuffix(_END) for key in typed if key.endswith(_END)):
        part = OmegaConf.select(cfg, path)
        target = find(part["_target_"], allowed_modules(cfg), path)
        names = names_of(target)
        kept = {*HYDRA_KEYS, *(str(key) for key in part if f"{path}.{key}" in typed)}
        lost = [str(key) for key in part if names is not None and key not in names | kept]
        OmegaConf.set_struct(part, False)
        for key in lost:
            del part[key]
        if lost:
            lines.append(f"{path}: {target.__name__} takes no {', '.join(lost)}; left out")
    return lines
