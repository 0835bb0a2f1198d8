"""Make the golden checkpoint and outputs beside this file, independently of the package.

The published LC-PLM is written out here in plain torch and float64, as two whole Mamba blocks of
which the second sees a flipped copy; nothing is imported from lcplm_graph.

    python tests/golden/make_golden.py
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

D_MODEL, N_LAYER, EXPAND, D_STATE, D_CONV, VOCAB = 32, 2, 2, 16, 4, 128
D_INNER, DT_RANK = EXPAND * D_MODEL, 2
ALPHABET = "LAGVSERTIDPKQNFYMHWCXBUZO.-"
SEQUENCES = [
    "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ",
    "M",
    "MK<mask>AYIA<mask>QRQ",
    "GAVLIMFWPSTCYNQDEKRH" * 7,
]
HERE = Path(__file__).parent / "lcplm_tiny"

Weights = dict[str, torch.Tensor]


def tokenize(sequence: str) -> torch.Tensor:
    ids = [0]
    for i, part in enumerate(sequence.split("<mask>")):
        ids += [32] * (i > 0) + [4 + ALPHABET.index(c) for c in part]
    return torch.tensor([*ids, 2])


def random_weights() -> Weights:
    generator = torch.Generator().manual_seed(20240)

    def normal(*shape: int, scale: float) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float32) * scale

    weights = {
        "bimamba.backbone.embedding.weight": normal(VOCAB, D_MODEL, scale=1.0),
        "bimamba.backbone.norm_f.weight": 1 + normal(D_MODEL, scale=0.2),
        "lm_head.weight": normal(VOCAB, D_MODEL, scale=0.3),
    }
    for i in range(N_LAYER):
        layer = f"bimamba.backbone.layers.{i}."
        weights[layer + "norm.weight"] = 1 + normal(D_MODEL, scale=0.2)
        for direction in ("fwd", "rev"):
            block = f"{layer}mixer.mamba_{direction}."
            weights[block + "conv1d.weight"] = normal(D_INNER, 1, D_CONV, scale=0.5)
            weights[block + "conv1d.bias"] = normal(D_INNER, scale=0.2)
            weights[block + "x_proj.weight"] = normal(DT_RANK + 2 * D_STATE, D_INNER, scale=0.15)
            weights[block + "dt_proj.weight"] = normal(D_INNER, DT_RANK, scale=0.7)
            weights[block + "dt_proj.bias"] = normal(D_INNER, scale=1.0) - 2
            weights[block + "A_log"] = normal(D_INNER, D_STATE, scale=0.5) + 0.7
            weights[block + "D"] = 1 + normal(D_INNER, scale=0.3)
        # Shared projections are stored once; layer 1 keeps the name of the reverse direction.
        keeper = f"{layer}mixer.mamba_{'rev' if i else 'fwd'}."
        weights[keeper + "in_proj.weight"] = normal(2 * D_INNER, D_MODEL, scale=0.2)
        weights[keeper + "out_proj.weight"] = normal(D_MODEL, D_INNER, scale=0.2)
    return weights


def mamba_block(
    x: torch.Tensor, own: Weights, w_in: torch.Tensor, w_out: torch.Tensor
) -> torch.Tensor:
    u, z = (x @ w_in.T).chunk(2, dim=1)
    padded = F.pad(u.T[None], (D_CONV - 1, 0))
    u = F.silu(F.conv1d(padded, own["conv1d.weight"], own["conv1d.bias"], groups=D_INNER)[0].T)
    dt, B, C = (u @ own["x_proj.weight"].T).split([DT_RANK, D_STATE, D_STATE], dim=1)
    dt = F.softplus(dt @ own["dt_proj.weight"].T + own["dt_proj.bias"])
    A = -own["A_log"].exp()
    h = torch.zeros(D_INNER, D_STATE, dtype=x.dtype)
    rows = []
    for t in range(len(x)):
        h = (dt[t, :, None] * A).exp() * h + (dt[t] * u[t])[:, None] * B[t]
        rows.append(h @ C[t] + own["D"] * u[t])
    return (torch.stack(rows) * F.silu(z)) @ w_out.T


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-5) * weight


def run(weights: Weights, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    w = {k: v.double() for k, v in weights.items()}
    x = w["bimamba.backbone.embedding.weight"][ids]
    for i in range(N_LAYER):
        layer = f"bimamba.backbone.layers.{i}."
        keeper = f"{layer}mixer.mamba_{'rev' if i else 'fwd'}."
        w_in, w_out = w[keeper + "in_proj.weight"], w[keeper + "out_proj.weight"]
        normed = rms_norm(x, w[layer + "norm.weight"])
        parts = []
        for direction in ("fwd", "rev"):
            block = f"{layer}mixer.mamba_{direction}."
            own = {k.removeprefix(block): v for k, v in w.items() if k.startswith(block)}
            turned = normed.flip(0) if direction == "rev" else normed
            out = mamba_block(turned, own, w_in, w_out)
            parts.append(out.flip(0) if direction == "rev" else out)
        x = x + parts[0] + parts[1]
    hidden = rms_norm(x, w["bimamba.backbone.norm_f.weight"])
    return hidden, hidden @ w["lm_head.weight"].T


def main() -> None:
    HERE.mkdir(exist_ok=True)
    weights = random_weights()
    golden = {}
    for i, sequence in enumerate(SEQUENCES):
        ids = tokenize(sequence)
        hidden, logits = run(weights, ids)
        golden[f"input_ids_{i}"] = ids
        golden[f"last_hidden_state_{i}"] = hidden.float()
        golden[f"logits_{i}"] = logits.float()
    config = {
        "architectures": ["LcPlmForMaskedLM"], "model_type": "lc_plm", "d_model": D_MODEL,
        "n_layer": N_LAYER, "d_intermediate": 0, "vocab_size": VOCAB, "ssm_cfg": {},
        "attn_cfg": None, "attn_layer_idx": None, "layer": "Mamba1", "rms_norm": True,
        "norm_epsilon": 1e-05, "residual_in_fp32": True, "fused_add_norm": True,
        "pad_vocab_size_multiple": 128, "tie_embeddings": False, "initializer_cfg": None,
        "bidirectional": True, "bidirectional_strategy": "add", "bidirectional_weight_tie": True,
        "pad_token_id": -100,
    }  # fmt: skip
    save_file(weights, HERE / "model.safetensors", metadata={"format": "pt"})
    save_file(golden, HERE / "golden.safetensors")
    (HERE / "config.json").write_text(json.dumps(config, indent=1) + "\n")


if __name__ == "__main__":
    main()
