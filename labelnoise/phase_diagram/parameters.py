"""The parameters of a diagram, and the setting of a run that follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import NamedTuple

from labelnoise.checks import NOT_NEGATIVE, POSITIVE, check_number
from labelnoise.errors import InputError
from labelnoise.phase_diagram.read import choice
from labelnoise.theory import bounds
from labelnoise.theory.simulation import Setting

Values = Mapping[str, float]


class Parameter(NamedTuple):
    """A parameter of a diagram.

    Attributes:
        label: the label of an axis.
        sets: the fields of :class:`Setting` that it sets.
        value: maps the value of the parameter, and the fields set before, to the field value.
    """

    label: str
    sets: tuple[str, ...]
    value: Callable[[float, Values], float]


def _given(value: float, _: Values) -> float:
    return value


# In the order of evaluation: a formula reads only fields that are set above it.
PARAMETERS: dict[str, Parameter] = {
    "n": Parameter("n", ("n",), _given),
    "m": Parameter("m", ("m",), _given),
    "xi_std": Parameter(r"$\sigma_\xi$", ("xi_std",), _given),
    "orthogonal": Parameter("orthogonal", ("orthogonal",), lambda v, _: bool(v)),
    "d": Parameter("d", ("d",), _given),
    "d_over_n": Parameter("d / n", ("d",), lambda v, s: round(v * s["n"])),
    "tau": Parameter(r"$\tau_+ = \tau_-$", ("tau_plus", "tau_minus"), _given),
    "tau_plus": Parameter(r"$\tau_+$", ("tau_plus",), _given),
    "tau_minus": Parameter(r"$\tau_-$", ("tau_minus",), _given),
    "signal_norm": Parameter(r"$|\mu|$", ("signal_norm",), _given),
    "snr": Parameter(
        r"SNR $= |\mu| / \sigma_\xi\sqrt{d}$",
        ("signal_norm",),
        lambda v, s: v * s["xi_std"] * math.sqrt(s["d"]),
    ),
    "n_snr_squared": Parameter(
        r"$n\,$SNR$^2$",
        ("signal_norm",),
        lambda v, s: bounds.signal_norm_for(v, int(s["n"]), s["xi_std"], int(s["d"])),
    ),
    "eta": Parameter(r"$\eta$", ("eta",), _given),
    "theory_t1": Parameter(
        r"$n m / \eta\sigma_\xi^2 d$",
        ("eta",),
        lambda v, s: s["n"] * s["m"] / (v * s["xi_std"] ** 2 * s["d"]),
    ),
    "sigma_0": Parameter(r"$\sigma_0$", ("sigma_0",), _given),
    "start_scale": Parameter(
        r"$\sigma_0\sigma_\xi\sqrt{d}$",
        ("sigma_0",),
        lambda v, s: v / (s["xi_std"] * math.sqrt(s["d"])),
    ),
}
WHOLE = ("n", "m", "d")
# The largest allowed values (larger ones are typing errors), and the parameters that may be 0.
MOST = {"n": 10**5, "m": 10**5, "d": 10**15}
FROM_0 = ("tau", "tau_plus", "tau_minus", "sigma_0", "start_scale")


def combine(base: Values, chosen: Values) -> dict[str, float]:
    """``chosen``, and the parameters of ``base`` that set other fields.

    Raises:
        InputError: two parameters of ``base`` or of ``chosen`` set the same field.

    Example:
        >>> combine({"signal_norm": 3.0, "d": 100}, {"n_snr_squared": 8.0})
        {'d': 100, 'n_snr_squared': 8.0}
    """
    for words in (base, chosen):
        setters: dict[str, str] = {}
        for name in words:
            for field in PARAMETERS[choice("setting", name, PARAMETERS)].sets:
                if field in setters:
                    raise InputError(
                        f"{setters[field]} and {name} both set {field}: give one of them"
                    )
                setters[field] = name
    taken = {field for name in chosen for field in PARAMETERS[name].sets}
    rest = {n: v for n, v in base.items() if not taken & set(PARAMETERS[n].sets)}
    return {**rest, **chosen}


def _check_range(name: str, value: float) -> None:
    if name == "orthogonal":
        if value not in (0, 1):
            raise InputError(f"orthogonal must be true or false, got {value:g}")
    else:
        check_number(name, value, NOT_NEGATIVE if name in FROM_0 else POSITIVE)


def setting_of(words: Values) -> Setting:
    """The setting of a run.

    Raises:
        InputError: a field that no parameter sets, or a value out of range.

    Example:
        >>> words = {"n": 20, "m": 10, "xi_std": 1, "orthogonal": False, "d_over_n": 5, "tau": 0.1}
        >>> words |= {"n_snr_squared": 5, "theory_t1": 4, "sigma_0": 0.01}
        >>> setting = setting_of(words)
        >>> setting.d, setting.signal_norm, setting.eta
        (100, 5.0, 0.5)
    """
    values: dict[str, float] = {}
    for name, parameter in PARAMETERS.items():
        if name in words:
            _check_range(name, words[name])
            try:
                value = parameter.value(words[name], values)
            except KeyError as error:
                raise InputError(f"setting.{name} needs {error.args[0]}: give both") from None
            for target in parameter.sets:
                if value > MOST.get(target, math.inf):
                    raise InputError(
                        f"{target} can be up to {MOST[target]:g}, but "
                        f"setting.{name}={words[name]:g} makes it {value:g}"
                    )
            whole = name in WHOLE and value == int(value)
            values |= dict.fromkeys(parameter.sets, int(value) if whole else value)
    for field in fields(Setting):
        if field.name not in values:
            words_for = [n for n, p in PARAMETERS.items() if field.name in p.sets]
            raise InputError(f"nothing sets {field.name}: give setting.{' or '.join(words_for)}")
    return Setting(**values)  # type: ignore[arg-type]  # checked by Setting itself
