"""How much of a file of ONNX is not weights, found before it is parsed, which takes up to 100 bytes of memory for 2."""

from __future__ import annotations

MOST = 1_000_000
"""Bytes that are not weights: enough for the names and attributes of some thousand nodes."""
_INNER = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor"},
}
"""The fields of a message that lead to weights, by their numbers; of all others, every byte counts."""
_WEIGHTS = (4, 9, 10)
"""The fields of a tensor that hold its numbers side by side."""
_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5


def is_mostly_weights(data: bytes) -> bool:
    """Whether all but the weights takes at most `MOST` bytes; what is no message counts as a whole."""
    return _rest(data, 0, len(data), "model", MOST) >= 0


def _rest(data: bytes, place: int, end: int, kind: str, room: int) -> int:
    """What is left of `room` after the message from `place` to `end`; negative as soon as nothing is."""
    while place < end and room >= 0:
        start = place
        key, place = _varint(data, place, end)
        wire, inner = key & 7, _INNER.get(kind, {}).get(key >> 3)
        if wire == _SIZED:
            size, place = _varint(data, place, end)
            if place + size > end:
                return room - (end - start)
            room -= place - start
            if inner:
                room = _rest(data, place, place + size, inner, room)
            elif kind != "tensor" or key >> 3 not in _WEIGHTS:
                room -= size
            place += size
            continue
        if wire == _VARINT:
            _, place = _varint(data, place, end)
        elif wire in (_EIGHT, _FOUR):
            place += 8 if wire == _EIGHT else 4
        else:
            return room - (end - start)
        room -= place - start
    return room


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    """A number, 7 bits a byte, and where the next one begins."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            break
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
    return value, place
