"""What NVIDIA's driver says of the first card: its library is asked through ctypes, so that no package is needed and no context is made."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass

DRIVER_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_LONGEST_NAME = 256


@dataclass(frozen=True)
class Card:
    """The card that CUDA calls device 0: its name, its memory in bytes, and the newest CUDA version `(major, minor)` of its driver."""

    name: str
    memory: int
    cuda: tuple[int, int]


class NoCard(Exception):
    """There is no card that the driver would show, or no driver. The message completes a sentence: what was found, and what to do."""


class BrokenDriver(Exception):
    """There is a driver, and it doesn't work. The message is of the same kind."""


def first_card() -> Card:
    """Ask the driver. Raises NoCard and BrokenDriver."""
    try:
        driver = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        raise NoCard(f"no NVIDIA driver was found ({DRIVER_LIBRARY} can't be loaded); install one if there is an NVIDIA card") from None
    try:
        return _ask(driver)
    except AttributeError:
        raise BrokenDriver(f"the NVIDIA driver is too old ({DRIVER_LIBRARY} lacks a function); install a newer one") from None


def _ask(driver: ctypes.CDLL) -> Card:
    def call(function: str, *arguments: object) -> None:
        code = getattr(driver, function)(*arguments)
        if code == _NO_DEVICE:
            raise NoCard(_hidden())
        if code != 0:
            raise BrokenDriver(f"the NVIDIA driver does not work ({function}: {_words(driver, code)}); see what nvidia-smi says")

    version, count, card = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, memory = ctypes.create_string_buffer(_LONGEST_NAME), ctypes.c_size_t()
    call("cuInit", 0)
    call("cuDriverGetVersion", ctypes.byref(version))
    call("cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        raise NoCard(_hidden())
    call("cuDeviceGet", ctypes.byref(card), 0)
    call("cuDeviceGetName", name, _LONGEST_NAME, card)
    call("cuDeviceTotalMem_v2", ctypes.byref(memory), card)  # the one without _v2 counts in 32 bits
    return Card(name.value.decode("utf-8", "replace"), memory.value, (version.value // 1000, version.value % 1000 // 10))


def _hidden() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    why = "" if visible is None else f", and CUDA_VISIBLE_DEVICES is {visible!r}"
    return f"the NVIDIA driver shows no card{why}; see what nvidia-smi says"


def _words(driver: ctypes.CDLL, code: int) -> str:
    """The driver's own words for an error, with its number."""
    text = ctypes.c_char_p()
    driver.cuGetErrorString(code, ctypes.byref(text))  # None stays where it doesn't know the number
    return f"error {code}" if text.value is None else f"{text.value.decode('utf-8', 'replace')}, error {code}"
