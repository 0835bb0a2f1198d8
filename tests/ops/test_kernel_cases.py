"""Our kernels that run on any CPU pass the case of all kernels."""

import pytest
from cases.kernel import CALLS, KernelCase

from lcplm_graph.backends import backend_status, backends_of, operations

KERNELS = [
    (op, backend)
    for op in operations()
    if op in CALLS
    for backend in backends_of(op)
    if backend_status(op, backend, "cpu").usable
]


class TestOurs(KernelCase):
    @pytest.fixture(params=KERNELS, ids=".".join)
    def kernel(self, request):
        return request.param


def test_every_operation_on_tensors_has_a_case():
    assert set(operations()) - set(CALLS) == {"random_walk"}
