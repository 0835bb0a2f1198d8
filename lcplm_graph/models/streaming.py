"""Inference on streams longer than a token budget: windows with the state carried across.

Layer by layer, a left-to-right pass carries the forward state from window to window and a
right-to-left pass the reverse state, so the result equals that of the whole.  Only
``(T, d_model)`` and one ``(T, d_inner)`` array are kept for all tokens; everything else is as
large as a window.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lcplm_graph.models.attached import is_plain
from lcplm_graph.models.bimamba import BiMamba, Layer, MambaDirection, low_dtype
from lcplm_graph.models.entrances import Entrances
from lcplm_graph.numeric import whole_number


def can_stream(layer: nn.Module) -> bool:
    """Tell whether a layer may be taken apart: nothing is attached to it or its mixer."""
    mixer = getattr(layer, "mixer", None)
    if not is_plain(layer, Layer) or mixer is None or not is_plain(mixer, BiMamba):
        return False
    directions = [d for d in (mixer.mamba_fwd, mixer.mamba_rev) if d is not None]
    return all(is_plain(direction, MambaDirection) for direction in directions)


@torch.no_grad()
def stream_layer(
    layer: Layer,
    hidden: Tensor,
    cu_seqlens: Tensor,
    window: int,
    entrances: Entrances | None = None,
) -> None:
    """Apply a layer to `hidden` in place, at most `window` tokens at a time.

    Parameters
    ----------
    layer : Layer
    hidden : Tensor, dtype=float32, shape=(T, d_model)
    cu_seqlens : Tensor, dtype=int32, shape=(S + 1,)
    window : int
        Tokens per window.
    entrances : Entrances, optional
        Where proteins of streams begin and end.
    """
    window = whole_number(window, "window")
    mixer: BiMamba = layer.mixer
    fwd, rev = mixer.mamba_fwd, mixer.mamba_rev
    x = layer.normed(hidden)
    bounds = cu_seqlens.tolist()
    begin, end = entrances or (None, None)
    if mixer.factored and rev is not None:
        y = hidden.new_empty(len(x), fwd.d_inner, dtype=low_dtype(fwd.D))
        for part, y_part in _pass(fwd, x, bounds, window, begin, reverse=False, gate=False):
            y[part] = y_part
        for part, y_part in _pass(
            rev, x, bounds, window, end, reverse=True, gate=True, owner=fwd, residual=y
        ):
            hidden[part] += mixer.project_out(y_part)
        return
    mixed = torch.empty_like(hidden)
    for part, y_part in _pass(fwd, x, bounds, window, begin, reverse=False, gate=True):
        mixed[part] = fwd.project_out(y_part).float()
    if rev is not None:
        owner = mixer.owner or rev
        for part, y_part in _pass(
            rev, x, bounds, window, end, reverse=True, gate=True, owner=owner
        ):
            other = owner.project_out(y_part).float()
            mixed[part] = mixed[part] * other if mixer.multiply else mixed[part] + other
    hidden += mixed


def _pass(
    direction: MambaDirection,
    x: Tensor,
    bounds: list[int],
    window: int,
    entrances: Tensor | None,
    *,
    reverse: bool,
    gate: bool,
    owner: MambaDirection | None = None,
    residual: Tensor | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Scan all windows in the order of the direction; yields where, and the scan's output.

    `owner` is the direction whose input projection is used.
    """
    tokens, halo = len(x), direction.d_conv - 1
    starts = range(0, tokens, window)
    carried: Tensor | None = None
    for start in reversed(starts) if reverse else starts:
        stop = min(start + window, tokens)
        # The convolution looks `halo` tokens past the window, on the side time comes from.
        low, high = (start, min(stop + halo, tokens)) if reverse else (max(start - halo, 0), stop)
        part, inner = slice(start, stop), slice(start - low, stop - low)
        u, z = (owner or direction).project_in(x[low:high])
        u = direction.convolve(u, _local(bounds, low, high, x.device), reverse)[inner]
        cu = _local(bounds, start, stop, x.device)
        streams = len(cu) - 1
        initial = x.new_zeros(streams, direction.d_inner, direction.d_state, dtype=torch.float32)
        if carried is not None:
            initial[-1 if reverse else 0] = carried
        y, last = direction.scan_from(
            initial,
            u,
            cu,
            reverse,
            residual=None if residual is None else residual[part],
            z=z()[inner] if gate else None,
            entrances=_inside(entrances, start, stop),
        )
        cut = start if reverse else stop
        # A state is carried only if the window's edge cuts a stream in two.
        carried = None if cut in bounds else last[0 if reverse else -1]
        yield part, y


def _inside(entrances: Tensor | None, start: int, stop: int) -> Tensor | None:
    if entrances is None:
        return None
    return entrances[(entrances >= start) & (entrances < stop)] - start


def _local(bounds: list[int], low: int, high: int, device: torch.device) -> Tensor:
    inside = [b - low for b in bounds if low < b < high]
    return torch.tensor([0, *inside, high - low], dtype=torch.int32, device=device)
